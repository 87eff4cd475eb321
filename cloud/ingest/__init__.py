"""What machines say: received once, in order, and settled."""
