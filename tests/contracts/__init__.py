"""The documented APIs as their clients know them: samples as data, one runner for all dialects, stories, and fuzz."""
