"""The file of API keys: hashes only, read again when it changes, and refused without repeating its content."""

from __future__ import annotations

import hashlib
import json
import logging
import stat
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pipelines.cli.main import app
from serving.access.keys import ApiKeys, KeyFileError, entry, new_key, read_keys

DIGEST = "ab" * 32


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time that the keys see; a test adds seconds to it."""
    now = [100.0]
    monkeypatch.setattr("serving.access.keys.time.monotonic", lambda: now[0])
    return now


def make(file: Path, *arguments: str) -> str:
    """Make a key with the command, and return it."""
    result = CliRunner().invoke(app, ["api-key", *arguments, "--file", str(file)])
    assert result.exit_code == 0, result.output
    return result.output.strip()


def test_the_command_stores_only_the_hash(tmp_path: Path) -> None:
    file = tmp_path / "keys.jsonl"
    first = make(file, "shop", "--rate-limit", "1000/minute")
    second = make(file, "shop")
    text = file.read_text(encoding="utf-8")
    assert first not in text
    assert second not in text
    assert first != second
    assert len(first) >= 43
    line = json.loads(text.splitlines()[0])
    assert line == {
        "name": "shop", "sha256": hashlib.sha256(first.encode()).hexdigest(), "rate_limit": "1000/minute"
    }  # fmt: skip
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    keys = ApiKeys(file)
    found = keys.find(first)
    assert found is not None
    assert (found.name, found.rate_limit) == ("shop", "1000/minute")
    assert keys.find(second) is not None
    assert keys.find(first[:-1]) is None
    assert keys.find("") is None


def test_without_a_file_the_command_prints_the_line_too() -> None:
    result = CliRunner().invoke(app, ["api-key", "shop"])
    key, line = result.output.splitlines()
    assert json.loads(line) == {"name": "shop", "sha256": hashlib.sha256(key.encode()).hexdigest()}


def test_the_command_keeps_the_mode_of_the_file(tmp_path: Path) -> None:
    file = tmp_path / "keys.jsonl"
    file.touch(mode=0o640)
    file.chmod(0o640)
    make(file, "shop")
    assert stat.S_IMODE(file.stat().st_mode) == 0o640


@pytest.mark.parametrize(
    "arguments", [["", "--rate-limit", "9/minute"], ["shop", "--rate-limit", "many"], ["two\nlines"]]
)
def test_the_command_refuses_a_bad_name_and_a_bad_allowance(arguments: list[str]) -> None:
    result = CliRunner().invoke(app, ["api-key", *arguments])
    assert result.exit_code == 2
    assert "expected" in result.output


def test_keys_are_added_and_removed_without_a_restart(tmp_path: Path, clock: list[float]) -> None:
    file = tmp_path / "keys.jsonl"
    old = make(file, "shop")
    keys = ApiKeys(file)
    new = make(file, "shop")
    assert keys.find(new) is None
    clock[0] += 2
    assert keys.find(new) is not None
    assert keys.find(old) is not None
    file.write_text(file.read_text(encoding="utf-8").splitlines()[1] + "\n", encoding="utf-8")
    clock[0] += 2
    assert keys.find(old) is None
    assert keys.find(new) is not None


def test_a_secret_that_kubernetes_replaces_is_read_again(tmp_path: Path, clock: list[float]) -> None:
    """Kubernetes mounts a secret's file as a link to a folder, and replaces the folder behind it."""
    first, second = new_key(), new_key()
    for name, key in (("one", first), ("two", second)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "keys.jsonl").write_text(entry("shop", key) + "\n", encoding="utf-8")
    data = tmp_path / "..data"
    data.symlink_to("one")
    (tmp_path / "keys.jsonl").symlink_to("..data/keys.jsonl")
    keys = ApiKeys(tmp_path / "keys.jsonl")
    assert keys.find(first) is not None
    data.unlink()
    data.symlink_to("two")
    clock[0] += 2
    assert keys.find(first) is None
    assert keys.find(second) is not None


def test_a_broken_change_leaves_the_keys_before(
    tmp_path: Path, clock: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "keys.jsonl"
    key = make(file, "shop")
    keys = ApiKeys(file)
    for content in ("{", None):
        if content is None:
            file.unlink()
        else:
            file.write_text(content, encoding="utf-8")
        clock[0] += 2
        assert keys.find(key) is not None
    assert [record.levelno for record in caplog.records] == [logging.ERROR] * 2


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("{", "not valid JSON"),
        ("[]", "other fields"),
        (json.dumps({"name": "a", "sha256": DIGEST, "key": "rsk_secret"}), "other fields"),
        (json.dumps({"name": "", "sha256": DIGEST}), "name"),
        (json.dumps({"name": "a", "sha256": "secret"}), "sha256"),
        (json.dumps({"name": "a", "sha256": DIGEST.upper()}), "sha256"),
        (json.dumps({"name": "a", "sha256": DIGEST, "rate_limit": "many"}), "rate_limit"),
        (json.dumps({"name": "b", "sha256": DIGEST}), "an earlier line"),
    ],
)
def test_a_bad_line_is_named_and_not_repeated(tmp_path: Path, line: str, words: str) -> None:
    file = tmp_path / "keys.jsonl"
    file.write_text(json.dumps({"name": "a", "sha256": DIGEST}) + f"\n\n{line}\n", encoding="utf-8")
    with pytest.raises(KeyFileError) as caught:
        read_keys(file)
    assert "line 3" in str(caught.value)
    assert words in str(caught.value)
    assert "secret" not in str(caught.value)
