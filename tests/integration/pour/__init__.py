"""Pours against the simulator's water: what is billed is what flowed, or a person decides."""
