"""One pour of water: its table, what the meter proves, filter life, plan, and the session that ties them together."""
