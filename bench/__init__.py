"""Repeatable measurements of the product. Every number stands beside a limit that was measured in the same run.

A computer's absolute speed says little and changes with the weather; the ratio to what the bare parts (SQLite, asyncpg,
an interpreter) do on it a moment before or after says how much the product adds. No test depends on a time.
"""
