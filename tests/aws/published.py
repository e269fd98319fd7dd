"""Published jobs on the test bed, without the commands that make them."""

import json

import botocore.session

from wrenlite.backends.aws import payload
from wrenlite.backends.factory import open_store
from wrenlite.durable.lease import Times
from wrenlite.serving import code
from wrenlite.serving.driver import HANDLER, TIMES_VARIABLE
from wrenlite.serving.publication import VARIABLE, Publication
from wrenlite.serving.starts import Starts

TIMES = Times(renew_s=1.0, lease_s=3.0, patience_s=8.0, cancel_s=0.3, gather_s=0.1, margin_s=2.0)
BUCKET = "wrenlite-bed"
WATCHED = "watched-bed"


class PublishedJob:
    """A function of the bed that starts a function of ours, of a deployment that has a driver."""

    def __init__(self, bed, function, on, name="work", deployment="kept", timeout=20, times=TIMES, at_once=0):
        session = botocore.session.Session()
        self.bed, self.name = bed, name
        self.lambda_, self.s3 = session.create_client("lambda"), session.create_client("s3")
        self.store = open_store(f"s3://{BUCKET}/wrenlite")
        self.function = f"{deployment}-job-{name}"
        packed = code.pack(function)
        outputs = f"s3://{BUCKET}/wrenlite/outputs/{name}"
        self.publication = Publication(name, on, "tests:work", *packed.digests, outputs, at_once)
        packed.store(self.store, self.publication)
        self.starts = Starts(self.store, self.publication, times)
        environment = {
            "WRENLITE_BUCKET": BUCKET,
            "WRENLITE_PREFIX": "wrenlite",
            "WRENLITE_BUCKET_OWNER": "123456789012",
            "WRENLITE_FUNCTION": deployment,
            VARIABLE: self.publication.to_json(),
            TIMES_VARIABLE: json.dumps(times),
        }
        self.arn = self.lambda_.create_function(
            FunctionName=self.function,
            Handler=HANDLER,
            Code=bed.code,
            Timeout=timeout,
            Runtime=f"python{payload.versions()['python']}",
            Role="arn:aws:iam::123456789012:role/wrenlite-us-east-1",
            MemorySize=512,
            Environment={"Variables": environment},
        )["FunctionArn"]
        self.lambda_.put_function_recursion_config(FunctionName=self.function, RecursiveLoop="Allow")

    def watch(self, prefix="in/", suffix=".csv"):
        """Let objects of a bucket start it."""
        self.s3.create_bucket(Bucket=WATCHED)
        self.lambda_.add_permission(
            FunctionName=self.function,
            StatementId="s3",
            Action="lambda:InvokeFunction",
            Principal="s3.amazonaws.com",
            SourceArn=f"arn:aws:s3:::{WATCHED}",
            SourceAccount="123456789012",
        )
        rules = [{"Name": "prefix", "Value": prefix}, {"Name": "suffix", "Value": suffix}]
        configured = {
            "Id": f"wrenlite-{self.name}",
            "LambdaFunctionArn": self.arn,
            "Events": ["s3:ObjectCreated:*"],
            "Filter": {"Key": {"FilterRules": rules}},
        }
        self.s3.put_bucket_notification_configuration(
            Bucket=WATCHED, NotificationConfiguration={"LambdaFunctionConfigurations": [configured]}
        )

    def upload(self, key, body=b"x\n1\n"):
        """Put an object into the bucket that is watched."""
        self.s3.put_object(Bucket=WATCHED, Key=key, Body=body)

    def send(self, event):
        """Invoke it with an event, without waiting."""
        self.lambda_.invoke(
            FunctionName=self.function, InvocationType="Event", Payload=json.dumps(event).encode()
        )

    def ended(self, timeout_s=60.0):
        """Wait until nothing runs, and return the status of all starts, the oldest first."""
        self.bed.wait_for_events(timeout_s)
        return self.starts.recent(100)[::-1]

    def outputs(self):
        """Return what the starts have left behind, by name."""
        store = open_store(self.publication.outputs)
        return {entry.key: store.get(entry.key) for entry in store.list("")}

    def remove(self):
        """Delete the function, and what belongs to it."""
        self.bed.kill_sandboxes(self.function)
        self.lambda_.delete_function(FunctionName=self.function)
        for prefix in ("starts/", "published/", f"outputs/{self.name}/", "jobs/"):
            self.store.delete([entry.key for entry in self.store.list(prefix)])
        for bucket in self.s3.list_buckets()["Buckets"]:
            if bucket["Name"] == WATCHED:
                for each in self.s3.list_objects_v2(Bucket=WATCHED).get("Contents", ()):
                    self.s3.delete_object(Bucket=WATCHED, Key=each["Key"])
                self.s3.delete_bucket(Bucket=WATCHED)
