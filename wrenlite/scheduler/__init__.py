"""Decides which task runs when, and what its outcome means: queue, batches, admission, retries."""
