"""Kernels for the demo and the notebooks: pure functions, which the core never imports."""
