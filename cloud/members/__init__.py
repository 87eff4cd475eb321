"""Members, and the money ledger that holds their wallets."""
