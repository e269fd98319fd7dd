"""Functions that are published: each object of a bucket, request or time of a schedule starts them.

===============  ==========================================================================================
``publication``  What is published, and what triggers it: records, and the texts that people write for them
``parameters``   Arguments of functions from JSON and from texts
``events``       What functions are called with: objects, and the rows of CSV files
``front``        What is answered to HTTP requests
``code``         The function of a published job, packed and loaded
``starts``       The records of starts, and how far each is
``program``      Runs one start, in a process of its own
``process``      Looks after such a process
``driver``       The Lambda function of a published job
``commands``     ``wrenlite serve``
``local``        Starts on this machine: a queue, processes, a log
``watch``        Files that come into a folder
``server``       The HTTP server, and who may ask it
``pages``        What it shows to browsers
===============  ==========================================================================================
"""
