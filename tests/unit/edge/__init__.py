"""Tests of the agent's uplink, settings, supervision and local socket."""
