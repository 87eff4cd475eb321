"""The vending dialect: what an official account of the messenger asks of vending machines, 26 operations."""
