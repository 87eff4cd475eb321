"""Who may ask: tenants, staff, their passwords and tokens, and the record of what they did."""
