"""One machine: bytes become typed events, rules decide, one ledger remembers, one uplink reports."""
