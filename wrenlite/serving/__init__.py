"""Functions that are published: each object of a bucket, request or time of a schedule starts them.

===============  ==========================================================================================
``publication``  What is published, and what triggers it: records, and the texts that people write for them
===============  ==========================================================================================
"""
