"""The platform's own API under /api/v1: everything that can be asked of a fleet, in one clean shape."""
