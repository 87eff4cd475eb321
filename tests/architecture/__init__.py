"""Tests of the house rules: who may import whom, and what stands in only one place."""
