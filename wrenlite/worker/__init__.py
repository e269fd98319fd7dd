"""Worker processes.

==========  =================================================================================
``handle``  The parent's side: starts a worker, feeds and times it, kills it, explains its end
``main``    The program of a worker process: reads requests, writes outcomes
``runner``  Runs the tasks of a request: the only code that calls a user's function
``output``  What tasks write to stdout and stderr, and its limit
==========  =================================================================================
"""
