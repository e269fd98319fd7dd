"""L-system curves and the Mandelbrot set, as tasks that an executor can map."""
