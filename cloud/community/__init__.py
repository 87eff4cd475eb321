"""Communities: the estates in which machines stand, their houses, and who lives there."""
