"""Purchases: orders of products, from the shop's page to the door and, now and then, back."""
