"""Products: what a brand sells and rents out, and what a machine of that kind is made of."""
