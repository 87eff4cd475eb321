"""The agent against the firmware simulator; the cloud against its real database and a real broker."""
