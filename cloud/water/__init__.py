"""Water: pours and what they cost, plans, filters, quality, and where every millilitre went."""
