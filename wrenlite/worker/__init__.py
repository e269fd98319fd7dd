"""Worker processes.

================  =================================================================================
``handle``        The parent's side: starts a worker, feeds and times it, kills it, explains its end
``process``       How the process of a worker is started, and what its exit code means
``clock``         Time for the limits of tasks: it stands still while this process is stopped
``main``          The program of a worker process: reads requests, writes outcomes
``archives``      Fetches packages that are in no layer when a task imports them
``runner``        Runs the tasks of a request: the only code that calls the function of a job
``initializing``  Runs the initializer of a worker, once, before its first task
``calling``       What surrounds a call of a user's function
``notes``         What is added to exceptions of tasks: why they failed
``authkey``       The key of ``multiprocessing``, by which a task connects to a manager of the caller
``output``        What tasks write to stdout and stderr, and its limits
``pyplot``        Chooses the backend of matplotlib when a task imports it
``figures``       That backend: it says that a task cannot show a figure
``outbox``        The outcomes of short tasks, in memory that both processes have mapped
``memory_limit``  The limit on the memory of a worker, with room for the stacks of threads
``health``        Whether a worker must be replaced before anything else runs in it
================  =================================================================================
"""
