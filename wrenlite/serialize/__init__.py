"""Functions, items, values, exceptions and modules to bytes and back."""
