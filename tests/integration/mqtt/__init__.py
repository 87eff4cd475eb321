"""Tests of the MQTT connection and the uplink against real brokers."""
