"""Suppliers: who brings what the warehouses are filled with, and at what price."""
