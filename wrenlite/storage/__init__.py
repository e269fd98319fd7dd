"""Where blobs are stored: the ``Store`` seam, folders, and what jobs keep there."""
