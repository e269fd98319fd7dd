"""Decide which task runs when and what its outcome means, with one thread that owns all of that state.

================ ================================================================
``dispatcher``   The thread and its inbox of events; it decides nothing itself
``state``        The ``Scheduler``: queue, requests in flight, outcomes, retries
``pending``      A job's tasks that have not ended
``failed_items`` The items of failed tasks, which may run again
``in_flight``    A request in flight
``admission``    Whether another request may be sent: slots, throttles, dollars
``batching``     How many tasks a batch holds, and how long it may run (pure)
``settling``     Futures and their callbacks, in threads of their own
``log_records``  The log records of tasks, in a thread of its own
================ ================================================================
"""
