"""The worker process and its handle."""
