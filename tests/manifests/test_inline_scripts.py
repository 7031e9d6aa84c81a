"""The Python that stands in Jobs: run as it is, against a real S3 interface (moto)."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest
from moto.server import ThreadedMotoServer

from .conftest import Rendered
from .render import of_kind
from .rules.policies import pod_of


@pytest.fixture(scope="module")
def s3() -> Iterator[dict[str, str]]:
    """The environment in which every S3 client talks to a server on loopback."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "id",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    server.stop()


def run(script: str, environment: dict[str, str]) -> str:
    done = subprocess.run(
        [sys.executable, "-c", script], env=os.environ | environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_bucket_is_made_once_and_backups_land_in_it(rendered: Rendered, s3: dict[str, str], tmp_path: Path) -> None:
    (job,) = [one for one in of_kind(rendered("local/platform"), "Job") if one["metadata"]["name"] == "bucket"]
    (container,) = pod_of(job)["containers"]
    for _ in range(2):
        assert run(container["args"][0], s3 | {"BUCKET": "review-sentiment"}) == "bucket review-sentiment\n"
    for backup in of_kind(rendered("local/platform"), "CronJob"):
        (upload,) = pod_of(backup)["containers"]
        (folder,) = [one["value"] for one in upload["env"] if one["name"] == "BACKUPS"]
        script = upload["args"][0].replace("/backup/", f"{tmp_path}/")
        for name in ("database.dump", "workspace.tar.gz"):
            (tmp_path / name).write_bytes(b"content")
        said = run(script, s3 | {"BACKUPS": folder})
        assert said.startswith(f"{folder}/{backup['metadata']['name']}/")
        assert said.endswith(" 7 bytes\n")
    options = {"key": "id", "secret": "secret", "client_kwargs": {"endpoint_url": s3["AWS_ENDPOINT_URL"]}}
    filesystem = fsspec.filesystem("s3", **options)
    assert len(filesystem.find("review-sentiment/backups")) == 2


def test_evidentlys_archive_unpacks_to_where_it_was_taken_from(rendered: Rendered, tmp_path: Path) -> None:
    (job,) = [one for one in of_kind(rendered("prod/platform"), "CronJob") if "evidently" in one["metadata"]["name"]]
    (archive,) = pod_of(job)["initContainers"]
    workspace, backup, root = tmp_path / "workspace", tmp_path / "backup", tmp_path / "root"
    for folder in (workspace / "projects", backup, root):
        folder.mkdir(parents=True)
    (workspace / "projects" / "report.json").write_text("{}", encoding="utf-8")
    places = {"/backup/workspace.tar.gz": backup / "workspace.tar.gz", "/workspace": workspace}
    words = [sys.executable if word == "python" else word for word in [*archive["command"], *archive["args"]]]
    subprocess.run([places.get(word, word) for word in words], check=True)
    assert (backup / "workspace.tar.gz").read_bytes()[:2] == b"\x1f\x8b"
    subprocess.run([sys.executable, "-m", "tarfile", "--extract", backup / "workspace.tar.gz", root], check=True)
    assert (root / workspace.relative_to("/") / "projects" / "report.json").read_text() == "{}"
