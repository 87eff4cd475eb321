"""Payments through providers: money that comes in, goes back, and is paid out."""
