"""Objects as data: ``executor.map(fn, wrenlite.objects("s3://bucket/prefix*.csv"))``.

===========  ==============================================================
``cutting``  which keys a pattern names, and where lines are cut (pure)
``parts``    ``DataObject``: what a task gets, and reads
``sources``  files of this machine, and stores that fsspec knows
``listing``  ``objects``: lists what there is, and cuts it into parts
===========  ==============================================================

Buckets of S3 are in ``backends/aws/data_bucket``.
"""
