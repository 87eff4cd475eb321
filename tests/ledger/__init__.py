"""The machine's ledger: what it must keep, refuse and survive."""
