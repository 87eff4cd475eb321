"""Tests of AisleFlow; helpers are imported as `tests.<folder>.<module>`."""
