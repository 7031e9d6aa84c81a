"""API keys: a file of hashes, one JSON object a line, that is read again when it changes.

    {"name": "shop", "sha256": "9f86d0…", "rate_limit": "1000/minute"}

A key is 256 random bits. Nobody can find such a key by trying, so one SHA-256 protects it at rest as well as a slow
hash, which is made for passwords, would; and it takes a microsecond of each request instead of a tenth of a second.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import os
import secrets
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

import orjson

from serving.telemetry.metrics import API_KEY_FAILURES

logger = logging.getLogger(__name__)

_PREFIX: Final = "rsk_"
"""The beginning of every key, so that scanners for leaked secrets can find one."""
_KEY_BYTES: Final = 32
_CHECK_SECONDS: Final = 1.0
"""How often the file is checked for a change."""
_FIELDS: Final = frozenset({"name", "sha256", "rate_limit"})
_NAME_CHARS: Final = 100


class KeyFileError(ValueError):
    """The file of API keys cannot be used. The message never repeats its content."""


class ApiKey(NamedTuple):
    """One key as the file has it."""

    name: str
    """Whose key it is: the user of the rate limit and of the prediction log. Several keys may have the same name."""
    digest: bytes
    """The SHA-256 of the key."""
    rate_limit: str | None
    """The allowance of this user, in the syntax of RATE_LIMIT; None for RATE_LIMIT itself."""


def new_key() -> str:
    """Return a new random key."""
    return _PREFIX + secrets.token_urlsafe(_KEY_BYTES)


def entry(name: str, key: str, rate_limit: str | None = None) -> str:
    """Return the line of the file for a key. Raises KeyFileError for a bad name or allowance."""
    content = {"name": name, "sha256": hashlib.sha256(key.encode()).hexdigest()}
    line = orjson.dumps(content if rate_limit is None else content | {"rate_limit": rate_limit}).decode()
    _parse_line(line)
    return line


def read_keys(path: Path) -> dict[bytes, ApiKey]:
    """Return the keys in a file by the first half of their digests. Raises KeyFileError."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise KeyFileError(f"{path}: not readable ({getattr(error, 'strerror', None) or 'not UTF-8'})") from error
    keys: dict[bytes, ApiKey] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            key = _parse_line(line)
        except KeyFileError as error:
            raise KeyFileError(f"{path}, line {number}: {error}") from None
        if keys.setdefault(_index(key.digest), key) is not key:
            raise KeyFileError(f"{path}, line {number}: found a key that an earlier line has; expected each key once")
    return keys


def _parse_line(line: str) -> ApiKey:
    expected = 'expected {"name": "…", "sha256": "64 hexadecimal digits", "rate_limit": "100/minute"}'
    try:
        content = orjson.loads(line)
    except orjson.JSONDecodeError:
        raise KeyFileError(f"not valid JSON; {expected}") from None
    if not isinstance(content, dict) or not content.keys() <= _FIELDS:
        raise KeyFileError(f"found other fields; {expected}")
    name, digest = content.get("name"), content.get("sha256")
    if not isinstance(name, str) or not name or len(name) > _NAME_CHARS or not name.isprintable():
        raise KeyFileError(f"name: expected 1 to {_NAME_CHARS} printable characters")
    if not isinstance(digest, str) or len(digest) != 64 or not set(digest) <= set("0123456789abcdef"):
        raise KeyFileError("sha256: expected 64 hexadecimal digits in lower case")
    return ApiKey(name, bytes.fromhex(digest), _checked_limit(content.get("rate_limit")))


def _checked_limit(value: Any) -> str | None:
    from limits import parse_many

    if value is None:
        return None
    try:
        if value != "off":
            parse_many(value)
    except (ValueError, TypeError):
        raise KeyFileError(f"rate_limit: found {value!r}; expected a limit like 100/minute, or `off`") from None
    return str(value)


def _index(digest: bytes) -> bytes:
    return digest[:16]


class ApiKeys:
    """The keys that are valid now. Belongs to the event loop.

    Example: `ApiKeys(Path("keys.jsonl")).find("rsk_…")` is the ApiKey, or None for an unknown key.
    """

    def __init__(self, path: Path) -> None:
        """Read the file. Raises KeyFileError."""
        self._path = path
        self._identity = self._look()
        self._keys: Mapping[bytes, ApiKey] = read_keys(path)
        self._checked_at = time.monotonic()

    def find(self, key: str) -> ApiKey | None:
        """Return the entry of a key, None for an unknown one.

        The time that it takes tells nothing about the keys: the entry is looked up by half of the digest, which an
        attacker who does not know the key cannot steer, and the whole digests are compared in constant time.
        """
        self._refresh()
        digest = hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()
        found = self._keys.get(_index(digest))
        same = hmac.compare_digest(digest, digest[::-1] if found is None else found.digest)
        return found if same else None

    def _look(self) -> tuple[int, int, int] | None:
        try:
            status = os.stat(self._path)  # noqa: PTH116  # called for requests; Path.stat takes three times as long
        except OSError:
            return None
        return status.st_mtime_ns, status.st_size, status.st_ino

    def _refresh(self) -> None:
        """Read the file again if it has changed. If it cannot be used, the keys before stay valid."""
        now = time.monotonic()
        if now - self._checked_at < _CHECK_SECONDS:
            return
        self._checked_at = now
        identity = self._look()
        if identity == self._identity:
            return
        self._identity = identity
        try:
            self._keys = read_keys(self._path)
        except KeyFileError as error:
            API_KEY_FAILURES.inc()
            logger.error("the API keys have changed and cannot be used; those before stay valid: %s", error)
        else:
            logger.info("the API keys have changed: %d are valid now", len(self._keys))
