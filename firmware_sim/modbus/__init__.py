"""Modbus devices of a water purifier, their registers as data. Written apart from the agent's profiles on purpose."""
