"""The AWS backend: blobs in S3, requests to Lambda, and the program that runs inside Lambda.

===============  ======================================================================
``connect``      makes the backend from a configuration
``invoker``      ``LambdaInvoker``: runs each batch as one invocation
``cancelling``   stops what runs on Lambda: the client's side and the sandbox's
``lost_reply``   how long a reply is searched in the store (pure)
``responses``    interprets the responses of Lambda (pure)
``transport``    sends signed HTTP requests over pooled connections
``addresses``    connects by name, with few look-ups
``signing``      AWS's signature of a request (pure)
``http1``        sends one request and reads its response, on a connection
``payload``      encodes and authenticates requests and replies (pure)
``session``      ``AwsSession``: the credentials, and how they are renewed
``errors``       translates AWS's errors into wrenlite's
``s3``           ``S3Store``: blobs in a bucket
``data_bucket``  ``DataBucket``: objects of the user's own, which tasks read
``sandbox``      ``Sandbox``: runs inside Lambda and supervises one worker
``reply_copy``   ``ReplyCopy``: what a long batch leaves in the store
===============  ======================================================================

Inside Lambda, the handler imports ``sandbox``, ``cancelling``, ``payload``, ``reply_copy`` and ``s3``, and
the worker imports ``s3``; ``s3`` imports ``errors`` and ``session``. None of them imports botocore before it
is needed.
"""
