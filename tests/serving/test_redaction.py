"""What is logged holds no credentials."""

from __future__ import annotations

import pytest

from serving.redaction import without_credentials


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("http://me:word@host/x", "http://***@host/x"),
        ("http://me:wo@rd@host/x and redis://:word@other", "http://***@host/x and redis://***@other"),
        ("rediss://:word@host:6379/0 and s3://bucket/key", "rediss://***@host:6379/0 and s3://bucket/key"),
        ("get https://host/x?X-Amz-Signature=ab12&part=1", "get https://host/x?X-Amz-Signature=***&part=1"),
        ("http://host/a@b mail me@host", "http://host/a@b mail me@host"),
        ("token is http://host?access_token=abc", "token is http://host?access_token=***"),
    ],
)
def test_credentials_are_removed(text: str, shown: str) -> None:
    assert without_credentials(text) == shown
