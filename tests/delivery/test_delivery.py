"""What the workflows run beside make: schemas by digest, images by digest into an overlay."""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

DELIVERY = Path(__file__).parents[2] / ".github" / "delivery"
DIGEST = "sha256:" + "5" * 64
OVERLAY = """\
resources:
  - ../../base
# Set by a release.
images:
  - name: review-sentiment-serving
    newTag: "0.1.0"
replicas: []
"""


def run(script: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, DELIVERY / script, *arguments], capture_output=True, text=True, check=False)


@pytest.fixture
def schemas(tmp_path: Path) -> Path:
    """The script with a list of one schema, whose digest is right."""
    (tmp_path / "schema.yaml").write_text("kind: CustomResourceDefinition\n", encoding="utf-8")
    digest = hashlib.sha256((tmp_path / "schema.yaml").read_bytes()).hexdigest()
    url = (tmp_path / "schema.yaml").as_uri()
    (tmp_path / "crd_schemas.toml").write_text(
        f'[[schema]]\nfile = "one.yaml"\nurl = "{url}"\nsha256 = "{digest}"\n', encoding="utf-8"
    )
    script = tmp_path / "crd_schemas.py"
    script.write_bytes((DELIVERY / "crd_schemas.py").read_bytes())
    return script


def test_a_schema_with_the_recorded_digest_is_fetched(schemas: Path, tmp_path: Path) -> None:
    result = run(str(schemas), tmp_path / "to")
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "to" / "one.yaml").read_text() == "kind: CustomResourceDefinition\n"


def test_a_schema_that_is_not_the_recorded_one_is_refused(schemas: Path, tmp_path: Path) -> None:
    (tmp_path / "schema.yaml").write_text("kind: Another\n", encoding="utf-8")
    result = run(str(schemas), tmp_path / "to")
    assert result.returncode == 1
    assert "one.yaml" in result.stderr
    assert "recorded is" in result.stderr
    assert not (tmp_path / "to").exists()


def test_a_schema_without_a_recorded_digest_is_refused_until_it_is_recorded(schemas: Path, tmp_path: Path) -> None:
    listed = tmp_path / "crd_schemas.toml"
    good = listed.read_text()
    listed.write_text(good.partition("sha256")[0] + 'sha256 = ""\n', encoding="utf-8")
    assert "no sha256 is recorded" in run(str(schemas), tmp_path / "to").stderr
    assert not (tmp_path / "to").exists()
    assert run(str(schemas), tmp_path / "to", "--record").returncode == 0
    assert listed.read_text() == good


def test_every_listed_schema_names_a_release_or_commit_and_its_digest() -> None:
    listed = tomllib.loads((DELIVERY / "crd_schemas.toml").read_text(encoding="utf-8"))["schema"]
    assert len({one["file"] for one in listed}) == len(listed) > 0
    for one in listed:
        assert re.search(r"/([0-9a-f]{40}|knative-v1\.21\.1|v0\.93\.0|v1\.3\.0)/", one["url"]), one
        assert len(bytes.fromhex(one["sha256"])) == 32


def test_a_release_names_its_images_by_digest_and_keeps_the_rest_of_the_overlay(tmp_path: Path) -> None:
    path = tmp_path / "kustomization.yaml"
    path.write_text(OVERLAY, encoding="utf-8")
    names = ("review-sentiment-serving", "review-sentiment-components")
    result = run("set_images.py", path, *(f"{name}=ghcr.io/owner/{name}@{DIGEST}" for name in names))
    assert result.returncode == 0, result.stderr
    text = path.read_text()
    assert "# Set by a release." in text
    assert yaml.safe_load(text) == {
        "resources": ["../../base"],
        "images": [{"name": name, "newName": f"ghcr.io/owner/{name}", "digest": DIGEST} for name in names],
        "replicas": [],
    }
    again = run("set_images.py", path, f"{names[0]}=ghcr.io/owner/{names[0]}@{DIGEST}")
    assert (again.returncode, path.read_text()) == (0, text)


def test_an_image_by_tag_is_refused_and_the_overlay_untouched(tmp_path: Path) -> None:
    path = tmp_path / "kustomization.yaml"
    path.write_text(OVERLAY, encoding="utf-8")
    result = run("set_images.py", path, "review-sentiment-serving=ghcr.io/owner/serving:latest")
    assert result.returncode == 1
    assert "expected REPOSITORY@sha256:" in result.stderr
    assert path.read_text() == OVERLAY
