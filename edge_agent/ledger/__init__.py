"""What this machine will never forget: one SQLite file."""
