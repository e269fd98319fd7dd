"""Decide which task runs when and what its outcome means, with one thread that owns all of that state.

================ ================================================================
``dispatcher``   The thread and its inbox of events; it decides nothing itself
``state``        The ``Scheduler``: queue, requests in flight, outcomes, retries
``pending``      A job's tasks that have not ended
``options``      How the tasks of a job are run
``arrivals``     The tasks of an open job that have not come to its queue
``dependents``   The tasks that wait for values of others
``retry``        Whether a task that has failed runs again, and when (pure)
``delayed``      The tasks that wait until they are tried again
``elsewhere``    The seam to another executor, for tasks that need more memory
``failed_items`` The items of failed tasks, which may run again
``code_in_use``  The code of a job, and how it reaches the workers
``in_flight``    A request in flight
``admission``    Whether another request may be sent: slots, throttles, dollars
``batching``     How many tasks a batch holds, and how long it may run (pure)
``settling``     Futures and their callbacks, in threads of their own
``log_records``  The log records of tasks, in a thread of its own
================ ================================================================
"""
