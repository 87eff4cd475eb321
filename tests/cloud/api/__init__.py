"""Tests of the native API, of accounts, and of the cloud's processes."""
