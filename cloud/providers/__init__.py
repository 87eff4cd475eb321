"""What stands outside and is told by us: for now the broker's list of machines."""
