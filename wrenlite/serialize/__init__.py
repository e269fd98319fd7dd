"""Serialization: functions, items, values, exceptions and modules to bytes and back.

========================  ==================================================================
``pickling``              functions, items and values, with pickle and cloudpickle
``by_value``              cloudpickle, extended by the class table and by further kinds of objects
``initializers``          the initializer of workers, and the global variables that it shares with jobs
``rebuild``               what unpickling calls to rebuild objects that were pickled by value
``class_table``           which classes and functions are pickled by name, by number or by value
``same_class``            the class of ``__main__`` that is defined as one of an earlier program
``unpickling_context``    what unpickling in the current thread refers to
``diagnosis``             messages about what cannot be pickled, or is large
``parts``                 the parts of an object, as pickling follows them, and their names in messages
``sizes``                 whether an object can be pickled, and how many bytes its pickle has
``signals``               exceptions that a signal handler of the caller raises meanwhile
``exceptions``            a task's exception, with its chain and its tracebacks
``traceback_stubs``       traceback objects that are rebuilt on the caller's side
``modules``               the caller's own modules as a zip of their sources
``zips``                  deterministic zips: equal files give equal bytes
``framing``               messages over a pipe, with large buffers beside the pickle
``replies``               checks of what workers and functions send back
========================  ==================================================================
"""
