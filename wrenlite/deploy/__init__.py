"""Putting wrenlite on AWS: so far, what the Lambda function's zip holds (``function``)."""
