"""Orders: what a buyer asked for, what became of it, and where the money went."""
