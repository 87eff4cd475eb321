"""Machines: who they are, how they are, what they are told."""
