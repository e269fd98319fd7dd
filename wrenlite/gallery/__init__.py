"""Example workloads for the demo and the notebooks. The core of wrenlite never imports this package."""
