"""What all dialects share: choosing an operation, reading bodies, sessions, hosts, errors in their own words."""
