"""The technician's command."""
