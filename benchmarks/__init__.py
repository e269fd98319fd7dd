"""Benchmarks: a peer and ours side by side, from one run. Never timed tests."""
