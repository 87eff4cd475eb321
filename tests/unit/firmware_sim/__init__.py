"""Tests of the firmware simulator. Most run in simulated time; the ports are real."""
