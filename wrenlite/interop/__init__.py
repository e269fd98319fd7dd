"""Names and interfaces of other libraries, on top of an executor."""
