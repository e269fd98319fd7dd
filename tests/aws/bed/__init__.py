"""AWS on loopback, for tests: real protocols, the real zip, no mocks.

The bed is one server on one port. moto, in its server mode, answers for S3, IAM, STS, CloudWatch Logs and
Lambda's control plane. A data plane of our own answers ``Invoke``: it unpacks the deployed zip and runs it
in separate processes under AWS's own runtime client (awslambdaric), with Lambda's limits of time, memory and
concurrency. The server counts requests by kind, and adds faults and latency where a test asks for them.

==========  ============================================================
``remote``  starts a bed as a process and controls it; tests use this
``server``  the HTTP server: counts, faults, latency, moto
``plane``   ``Invoke``: limits, warm sandboxes, log tails
``events``  the queue of asynchronous invocations
``triggers`` what invokes functions: notifications of buckets, and rules
``function_urls`` HTTP requests that become invocations
``recursion`` functions that invoke functions
``permissions`` what the policies of roles allow
``corrections`` corrections of moto where it differs from AWS
``versions`` the same for published versions of functions and layers
``sandbox`` one process under the runtime client, and its Runtime API
``pythons`` the Pythons that functions run on, and their packages
``disk``    the disk that a function sees
``enter``   the program that makes such a disk
``bootstrap`` the program that a sandbox runs first
``runtime_client`` the runtime client for a Python that has none
==========  ============================================================

``make aws-bed`` starts a bed by hand.
"""
