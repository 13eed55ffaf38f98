"""The signature of a call, as AWS checks it: by boto3's and the aws command's own signers, and what
is refused in which words.
"""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

import httpx
import pytest
from botocore import auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

from ops.sandbox.aws import Aws, serve
from ops.sandbox.contracts import REGION
from ops.sandbox.keys import Key
from tests.sandbox.aws_platform import QUICK, client_of, ports

TARGET = {
    "X-Amz-Target": "AmazonEC2ContainerServiceV20141113.ListClusters",
    "Content-Type": "application/x-amz-json-1.1",
}


@pytest.fixture(scope="module")
def aws() -> Iterator[Aws]:
    running = serve(ports(), QUICK)
    client_of(running, "s3").create_bucket(Bucket="bucket")
    yield running
    running.stop()


def signed(
    aws: Aws, signer: Any = auth.SigV4Auth, service: str = "ecs", body: str = "{}", **headers: str
) -> AWSRequest:
    """A signed call, not sent yet."""
    key = aws.keys.operator
    request = AWSRequest("POST", aws.url + "/", {**TARGET, **headers}, body)
    signer(Credentials(key.access_key, key.secret_key), service, REGION).add_auth(request)
    return request


def send(request: AWSRequest, **changes: Any) -> httpx.Response:
    ready = request.prepare()
    words = {
        "method": ready.method,
        "url": ready.url,
        "headers": dict(ready.headers),
        "content": ready.body,
        **changes,
    }
    return httpx.request(**words, trust_env=False)


KEYS = ("plain", "a b+ü/x=y&z", "a//b", "~t'(x)*!", " lead")


@pytest.mark.parametrize("key", KEYS)
def test_objects_of_any_name(aws: Aws, key: str) -> None:
    """Put, listed, read, and read by a presigned URL."""
    s3 = client_of(aws, "s3", signature_version="s3v4")
    s3.put_object(Bucket="bucket", Key=key, Body=b"hello", Metadata={"a": "two  spaces"})
    assert s3.get_object(Bucket="bucket", Key=key)["Body"].read() == b"hello"
    assert key in {
        each["Key"] for each in s3.list_objects_v2(Bucket="bucket", Prefix=key[:3])["Contents"]
    }
    url = s3.generate_presigned_url("get_object", Params={"Bucket": "bucket", "Key": key})
    assert httpx.get(url, trust_env=False).text == "hello"
    assert httpx.put(url, trust_env=False).status_code == 403  # it was signed for GET
    assert (
        httpx.get(
            url.replace("X-Amz-Expires=3600", "X-Amz-Expires=86400"), trust_env=False
        ).status_code
        == 403
    )


def test_a_large_object_in_parts(aws: Aws) -> None:
    """A multipart upload of a stream that has no length."""
    client_of(aws, "s3").upload_fileobj(io.BytesIO(b"x" * (20 << 20)), "bucket", "large")
    assert (
        client_of(aws, "s3").head_object(Bucket="bucket", Key="large")["ContentLength"] == 20 << 20
    )


REFUSALS = (
    ("sts", "get_caller_identity", 403, "SignatureDoesNotMatch", "InvalidClientTokenId"),
    ("elbv2", "describe_load_balancers", 403, "SignatureDoesNotMatch", "InvalidClientTokenId"),
    ("cloudfront", "list_distributions", 403, "SignatureDoesNotMatch", "InvalidClientTokenId"),
    ("s3", "list_buckets", 403, "SignatureDoesNotMatch", "InvalidAccessKeyId"),
    ("ec2", "describe_vpcs", 401, "AuthFailure", "AuthFailure"),
    ("ecs", "list_clusters", 400, "InvalidSignatureException", "UnrecognizedClientException"),
    (
        "secretsmanager",
        "list_secrets",
        400,
        "InvalidSignatureException",
        "UnrecognizedClientException",
    ),
    ("dynamodb", "list_tables", 400, "InvalidSignatureException", "UnrecognizedClientException"),
)


@pytest.mark.parametrize(("service", "action", "status", "wrong_secret", "wrong_key"), REFUSALS)
def test_a_wrong_key_in_each_protocol(
    aws: Aws, service: str, action: str, status: int, wrong_secret: str, wrong_key: str
) -> None:
    """Code and status are those of AWS; the right key is let in; the secret is in no `repr`."""
    getattr(client_of(aws, service), action)()
    ours = aws.keys.operator
    for key, code in (
        (replace(ours, secret_key="x" * 40), wrong_secret),
        (Key.random(), wrong_key),
    ):
        with pytest.raises(ClientError) as refused:
            getattr(client_of(aws, service, key), action)()
        assert refused.value.response["Error"]["Code"] == code
        assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == status
    assert ours.secret_key not in repr(aws.keys)


def test_what_was_signed_is_what_is_done(aws: Aws) -> None:
    """Another body, target, host or query than the signed one, and a header beside the signed ones,
    are refused.
    """
    request = signed(aws)
    assert send(request).status_code == 200
    headers = dict(request.headers.items())
    moved = {**headers, "X-Amz-Target": TARGET["X-Amz-Target"].replace("List", "Delete")}
    for change in (
        {"content": "[]"},
        {"headers": moved},
        {"headers": {**headers, "Host": "localhost"}},
        {"url": aws.url + "/?x=1"},
    ):
        answer = send(request, **change)
        assert (answer.status_code, answer.json()["__type"]) == (
            400,
            "InvalidSignatureException",
        ), change
    answer = send(request, headers={**headers, "X-Amz-Security-Token": "added"})
    assert answer.json()["__type"] == "IncompleteSignatureException"


def test_a_body_that_is_not_the_one_that_was_hashed(aws: Aws) -> None:
    """Where the signature covers only the body's hash, the body is held against it."""
    digest = hashlib.sha256(b"other").hexdigest()
    answer = send(signed(aws, **{"X-Amz-Content-SHA256": digest}))
    assert (answer.status_code, answer.json()["__type"]) == (400, "InvalidSignatureException")


@pytest.mark.parametrize("by", [timedelta(minutes=-20), timedelta(minutes=20), timedelta(days=3)])
def test_a_clock_that_is_wrong(aws: Aws, by: timedelta, monkeypatch: pytest.MonkeyPatch) -> None:
    """More than fifteen minutes: AWS says so, whatever the signature."""
    now = auth.get_current_datetime
    monkeypatch.setattr(auth, "get_current_datetime", lambda: now() + by)
    text = "Signature expired" if by < timedelta() else "Signature not yet current"
    assert text in send(signed(aws)).json()["message"]
    with pytest.raises(ClientError) as refused:
        client_of(aws, "s3").list_buckets()
    assert refused.value.response["Error"]["Code"] == "RequestTimeTooSkewed"


def test_a_key_whose_session_has_expired(aws: Aws) -> None:
    """Each protocol has its own code; another key is answered."""
    key = aws.keys.operator.access_key
    aws.signed.expire(key, expired=True)
    codes = {}
    for service, call in (("sts", "get_caller_identity"), ("ecs", "list_clusters")):
        with pytest.raises(ClientError) as refused:
            getattr(client_of(aws, service), call)()
        codes[service] = refused.value.response["Error"]["Code"]
    assert codes == {"sts": "ExpiredToken", "ecs": "ExpiredTokenException"}
    aws.signed.expire(key, expired=False)
    assert client_of(aws, "sts").get_caller_identity()["Account"]


def test_a_shifted_clock_is_in_the_date_of_the_answer(aws: Aws) -> None:
    """One Date, of AWS's clock, so that a client can tell how wrong its own is."""
    aws.signed.shift(aws.keys.operator.access_key, 20)
    with pytest.raises(ClientError) as refused:
        client_of(aws, "sts").get_caller_identity()
    response = refused.value.response
    assert response["Error"]["Code"] == "SignatureDoesNotMatch"
    assert "Signature expired" in response["Error"]["Message"]
    date = parsedate_to_datetime(response["ResponseMetadata"]["HTTPHeaders"]["date"])
    assert timedelta(minutes=19) < date - datetime.now(UTC) < timedelta(minutes=21)
    aws.signed.shift(aws.keys.operator.access_key, 0)


def test_a_presigned_url_that_has_expired(aws: Aws, monkeypatch: pytest.MonkeyPatch) -> None:
    """After its seconds, in S3's words."""
    now = auth.get_current_datetime
    monkeypatch.setattr(auth, "get_current_datetime", lambda: now() - timedelta(minutes=2))
    s3 = client_of(aws, "s3", signature_version="s3v4")
    url = s3.generate_presigned_url("list_objects_v2", Params={"Bucket": "bucket"}, ExpiresIn=60)
    answer = httpx.get(url, trust_env=False)
    assert answer.status_code == 403 and "Request has expired" in answer.text


@pytest.mark.parametrize(
    "header",
    [
        "AWS4-HMAC-SHA256 nothing",
        "AWS4-HMAC-SHA256 Credential=a/b/c, SignedHeaders=host, Signature=0",
        "AWS4-HMAC-SHA256 Credential=KEY/20200101/r/ecs/aws4_request, SignedHeaders=host, "
        "Signature=0",
        "AWS4-HMAC-SHA256 Credential=KEY/20200101/r/ecs/aws4_request",
        "Basic QVdTOng=",
        "AWS KEY:signature",
        "AWS4-HMAC-SHA256 Credential=KEY/2020/r/ecs/aws4_request, SignedHeaders=host;ü, "
        "Signature=ü",
    ],
)
def test_rubbish_for_a_signature(aws: Aws, header: str) -> None:
    """Is an answer of AWS, not an error of the sandbox."""
    sent = {
        **TARGET,
        "Authorization": header.replace("KEY", aws.keys.operator.access_key),
        "X-Amz-Date": "20200101T000000Z",
    }
    headers = [(name.encode(), value.encode()) for name, value in sent.items()]
    answer = httpx.post(aws.url, headers=headers, trust_env=False)
    assert answer.status_code == 400 and answer.json()["__type"].endswith("Exception")


def test_the_account_is_the_keys(aws: Aws) -> None:
    """moto's own header does not choose another one."""
    sent = {
        "Content-Type": "application/x-www-form-urlencoded",
        "X-Moto-Account-Id": "999999999999",
    }
    key = aws.keys.operator
    request = AWSRequest("POST", aws.url + "/", sent, "Action=GetCallerIdentity&Version=2011-06-15")
    auth.SigV4Auth(Credentials(key.access_key, key.secret_key), "sts", REGION).add_auth(request)
    assert "<Account>123456789012</Account>" in send(request).text


def test_the_aws_command(aws: Aws) -> None:
    """The command's own signer is let in, and a wrong secret is not."""
    if shutil.which("aws") is None:
        pytest.skip("no aws command here")
    key = aws.keys.operator
    calls = (["sts", "get-caller-identity"], ["s3", "ls", "s3://bucket/"], ["ecs", "list-clusters"])
    for secret, codes in ((key.secret_key, {0}), ("x", {254, 255, 1})):
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": os.environ.get("HOME", "/"),
            "AWS_DEFAULT_REGION": REGION,
            "AWS_ACCESS_KEY_ID": key.access_key,
            "AWS_SECRET_ACCESS_KEY": secret,
        }
        for words in calls[: 3 if secret == key.secret_key else 1]:
            done = subprocess.run(
                ["aws", "--endpoint-url", aws.url, *words],
                env=environment,
                capture_output=True,
                text=True,
                timeout=60,
                check=False,
            )
            assert done.returncode in codes, done.stderr
