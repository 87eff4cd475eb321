"""How the outside asks: each dialect is a table of operations plus wire shapes, mounted by one mechanism."""
