"""The shop: its warehouse, what goes between it and its machines, how they stand, and what its boards say."""
