"""The other end of the cable: boards, motors and products, simulated. Imports nothing of the agent."""
