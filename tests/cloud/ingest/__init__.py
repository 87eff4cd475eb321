"""Tests of ingest: streams, quarantine, crashes."""
