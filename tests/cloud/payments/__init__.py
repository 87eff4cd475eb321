"""Tests of payments, of what providers say, and of codes sent to phones."""
