"""Tests of single parts: pure, milliseconds each."""
