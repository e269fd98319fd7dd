"""Benchmarks: each prints a peer and wrenlite side by side, measured in one run. They are never tests."""
