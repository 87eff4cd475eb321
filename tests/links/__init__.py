"""The line: order, deadlines, silence, noise and late answers."""
