"""Functions that are published: each object of a bucket, request or time of a schedule starts them.

===============  ==========================================================================================
``publication``  What is published, and what triggers it: records, and the texts that people write for them
``parameters``   Arguments of functions from JSON and from texts
``events``       What functions are called with: objects, and the rows of CSV files
``front``        What is answered to HTTP requests
===============  ==========================================================================================
"""
