"""The vend: table, choice of aisle, session, claim, recovery."""
