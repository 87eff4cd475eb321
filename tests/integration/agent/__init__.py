"""The agent on real ports."""
