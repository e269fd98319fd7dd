"""AWS: blobs in S3, requests to Lambda, and what runs them there.

==============  ======================================================================
``s3``          ``S3Store``
``mistakes``    AWS's errors in our words: what happened, to which resource, the mend
``transport``   signed HTTP requests over pooled connections
``answers``     what an answer of Lambda says became of a batch (pure)
``invoker``     ``LambdaInvoker``
``wire``        requests and replies as JSON, and how they are authenticated (pure)
``sandbox``     inside Lambda: one worker, supervised
``connect``     the backend from a configuration
==============  ======================================================================

Inside Lambda ``sandbox`` and ``wire`` are imported, and by the worker ``s3``.
"""
