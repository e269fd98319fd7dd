"""Worker processes.

``handle``   the parent's side: starts a worker, sends requests, enforces time limits, explains its end
``main``     the program of a worker process
``runner``   runs the tasks of a request
"""
