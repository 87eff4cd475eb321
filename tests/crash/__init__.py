"""Processes killed, power cut, disks full and failing: what was acknowledged outside must still be there."""
