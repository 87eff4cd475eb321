"""Board firmware, each written from its documents."""
