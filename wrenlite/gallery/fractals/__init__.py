"""L-system curves, the Mandelbrot set and Julia sets, drawn by tasks that an executor maps."""
