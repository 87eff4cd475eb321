"""The ledger's stream to the cloud, and the cloud's offers and commands to the inbox."""
