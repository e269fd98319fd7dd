"""AWS on loopback, for tests: real protocols, the real zip, no mocks.

One server on one port. S3, IAM, STS, CloudWatch logs and Lambda's control plane are moto's, in its server
mode. ``Invoke`` is answered by a data plane of our own, which unpacks the deployed zip and runs it under
AWS's own runtime client (awslambdaric) in processes of their own, with limits of time, memory and
concurrency as Lambda has them. Requests are counted by kind; faults and latency come on demand.

==========  ============================================================
``remote``  starts a bed as a process, and talks to it: what tests use
``server``  the HTTP side: counts, faults, latency, moto
``plane``   ``Invoke``: limits, warm sandboxes, log tails
``corrections`` where moto does other than AWS
``sandbox`` one process under the runtime client, and its Runtime API
``runtime`` that process's first lines
==========  ============================================================

By hand: ``make aws-bed``.
"""
