"""Loading and dumping books: formats, comparison, refusal, and that a dump loads back unchanged."""
