"""Values of tasks that are kept for the next run: which calls are the same, and where their values are.

========================  ==================================================================
``digest``                the digest of a call and of its items, and what changed between two calls
``reach``                 follows all that a call refers to, each under a name that its user knows
``definitions``           functions and classes that exist only by value, as those of ``__main__``
``sources``               local modules as workers import them: which of their statements count
``code``                  compiled code, without comments, positions and docstrings
``values``                anything that can be pickled, as bytes that are equal only for equal objects
``environment``           the environment variables that code may read
``packages``              the packages that code imports, and the versions of all that they require
``remembered``            what one job has of earlier jobs, and what it leaves to later ones
``hits``, ``found``       the values that a job begins with, and how they are read
``keeping``               an invoker that keeps the values that come back
``index``, ``blobs``      which values there are; where they are
``cache``                 the folder of all of them, and its bounds
``why``                   what has changed since the last run of a function
========================  ==================================================================
"""
