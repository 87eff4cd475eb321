"""Tickets: jobs for people."""
