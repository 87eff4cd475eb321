"""`aislectl`: what a person beside the machine asks and does, over the agent's local socket and without a network."""
