"""The whole chain as real processes: people outside, cloud, broker, agents, firmware."""
