"""Stock: what lies in the aisles, as movements and their sums."""
