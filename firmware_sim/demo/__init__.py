"""The demo: a broker, the cloud, three simulated machines with an agent each, and the people around them.

It speaks to all of them from outside, as a stranger would: HTTP to the cloud, the local socket to the agents, the
control socket to the simulator. Nothing here imports the agent or the cloud.
"""
