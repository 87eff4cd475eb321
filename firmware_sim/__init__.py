"""The other end of the cable: boards and motors, Modbus devices and water, simulated. Imports nothing of the agent."""
