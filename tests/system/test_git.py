"""The git tags of a training run, from a real checkout."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from components.registry import lineage


def test_git_tags_hold_no_credentials(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    subprocess.run(["git", "init", "--quiet", "--initial-branch=main", str(tmp_path)], check=True)
    remote = "https://user:secret@git.example/reviews.git"
    subprocess.run(["git", "-C", str(tmp_path), "remote", "add", "origin", remote], check=True)
    monkeypatch.setattr(lineage, "__file__", str(tmp_path / "lineage.py"))
    monkeypatch.setenv("GIT_REVISION", "0123abc")
    assert lineage.git_tags() == {
        "mlflow.source.git.commit": "0123abc",
        "mlflow.source.git.branch": "main",
        "mlflow.source.git.repoURL": "https://git.example/reviews.git",
    }
