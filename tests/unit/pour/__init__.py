"""Tests of a pour's pure parts, and of its session against a purifier that plays a script."""
