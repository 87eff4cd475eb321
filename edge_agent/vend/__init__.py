"""One physical delivery attempt, from choice to evidence."""
