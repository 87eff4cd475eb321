"""Many machines: ingest their facts, settle money and stock, and serve the operators."""
