"""Typed machines on top of links."""
