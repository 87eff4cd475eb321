"""Move bytes and keep time; know nothing of vending."""
