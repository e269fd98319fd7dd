"""The one function that says which error of ours stands for one of AWS's."""

import botocore.credentials
import pytest

import wrenlite
from wrenlite.backends.aws.errors import translate_error

OBJECT = "arn:aws:s3:::pictures/of/mine.png"
FUNCTION = "arn:aws:lambda:eu-west-1:*:function:mine:live"


def translate(code, message="said AWS", status=None, action="s3:GetObject", resource=OBJECT, **more):
    return translate_error(code, message, status, action=action, resource=resource, **more)


@pytest.fixture
def login_profile(monkeypatch, tmp_path):
    """A profile that signs in with ``aws login``, and no other credentials."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    file = tmp_path / "config"
    file.write_text("[profile me]\nregion = eu-west-1\nlogin_session = arn:aws:iam::123456789012:user/me\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(file))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_LOGIN_CACHE_DIRECTORY", str(tmp_path))
    return "me"


def test_a_login_profile_says_which_package_it_needs(login_profile, monkeypatch):
    monkeypatch.setattr(botocore.credentials, "EC", None)  # as it is without the package
    with pytest.raises(wrenlite.CredentialsError, match=r"'me' signs in with aws login.*'botocore\[crt\]'$"):
        wrenlite.Executor.aws(profile=login_profile)


def test_a_login_that_has_ended_says_how_to_sign_in_again(login_profile, monkeypatch):
    monkeypatch.setattr(botocore.credentials, "EC", object())  # as if the package was there
    with pytest.raises(wrenlite.CredentialsExpired, match=r"Sign in again: aws login --profile me$"):
        wrenlite.Executor.aws(profile=login_profile)


@pytest.mark.parametrize(
    ("given", "kind", "words"),
    [
        ({"code": "NoSuchBucket"}, wrenlite.StoreError, "there is no bucket 'pictures': create it"),
        ({"code": "NoSuchKey"}, wrenlite.NotFound, "no blob s3://pictures/of/mine.png"),
        ({"code": "404"}, wrenlite.NotFound, "no blob s3://pictures/of/mine.png"),
        ({"code": "", "status": 404}, wrenlite.NotFound, "no blob s3://pictures/of/mine.png"),
        (
            {"code": "ResourceNotFoundException", "resource": FUNCTION.removesuffix(":live")},
            wrenlite.FunctionMissing,
            "there is no Lambda function 'mine' in eu-west-1: wrenlite-setup",
        ),
        (
            {"code": "ResourceNotFoundException", "resource": FUNCTION},
            wrenlite.FunctionMissing,
            "there is no version 'live' of the Lambda function 'mine' in eu-west-1: .* A new Executor uses",
        ),
        (
            {"code": "AccessDeniedException", "resource": FUNCTION, "action": "lambda:InvokeFunction"},
            wrenlite.AccessDenied,
            r'"Action": "lambda:InvokeFunction", "Resource": "arn:aws:lambda:eu-west-1:\*:function:mine:\*"',
        ),
        (
            {"code": "ResourceNotFoundException", "resource": "layer mine", "action": "lambda:GetLayer"},
            wrenlite.BackendError,
            "AWS refuses lambda:GetLayer on layer mine: ResourceNotFoundException: said AWS",
        ),
        ({"code": "ExpiredToken"}, wrenlite.CredentialsExpired, "have expired. Sign in again .aws sso"),
        ({"code": "ExpiredToken", "profile": "me"}, wrenlite.CredentialsExpired, "login --profile me"),
        ({"code": "InvalidAccessKeyId"}, wrenlite.CredentialsError, "does not know these credentials"),
        ({"code": "RequestTimeTooSkewed", "status": 403}, wrenlite.CredentialsError, "clock is wrong"),
        (
            {"code": "AccessDenied", "status": 403},
            wrenlite.AccessDenied,
            f'not allow s3:GetObject on {OBJECT} .said AWS.. .*"Resource": "{OBJECT}"',
        ),
        ({"code": "InvalidPayer", "status": 403}, wrenlite.AccessDenied, r"\(InvalidPayer: said AWS\)"),
        (
            {"code": "PermanentRedirect", "bucket_region": "eu-west-1"},
            wrenlite.StoreError,
            "the bucket 'pictures' is in eu-west-1: set region= to the region of the bucket",
        ),
        (
            {"code": "SlowDown", "status": 503},
            wrenlite.StoreError,
            "AWS refuses s3:GetObject on s3://pictures/of/mine.png: SlowDown: said AWS",
        ),
        (
            {"code": "", "status": 413, "resource": FUNCTION, "action": "lambda:InvokeFunction"},
            wrenlite.BackendError,
            "AWS refuses lambda:InvokeFunction on arn.*live: 413: said AWS",
        ),
    ],
)
def test_each_error_of_aws_has_one_of_ours(given, kind, words):
    error = translate(**given)
    assert type(error) is kind
    with pytest.raises(kind, match=words):
        raise error


def test_what_aws_itself_says_is_missing_is_named():
    said = 'User: me is not authorized to perform: s3:ListBucket on resource: "arn:aws:s3:::pictures" because'
    assert '{"Effect": "Allow", "Action": "s3:ListBucket", "Resource": "arn:aws:s3:::pictures"}' in str(
        translate("AccessDenied", said, 403)
    )
