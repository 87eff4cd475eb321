"""Tests of what is shipped around the code: broker configuration and systemd units."""
