"""Tests of tickets: their table, their life, who is sent."""
