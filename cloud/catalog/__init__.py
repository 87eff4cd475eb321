"""Goods: what can lie in an aisle."""
