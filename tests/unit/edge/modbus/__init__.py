"""Profiles, codecs and frames of Modbus devices."""
