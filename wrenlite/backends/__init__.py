"""Where tasks run: the ``Invoker`` seam, this machine's processes, the calling thread, AWS Lambda."""
