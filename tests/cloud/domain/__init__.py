"""Tests of the nouns: orders, money, stock, machines, tickets, and the database under them."""
