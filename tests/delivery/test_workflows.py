"""What the workflows promise: tests before a release, hashes, signatures, audits, and only files that exist."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
WORKFLOWS = {path.stem: path for path in (ROOT / ".github" / "workflows").glob("*.yaml")}


def read(name: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(WORKFLOWS[name].read_text(encoding="utf-8"))
    return found


def steps(name: str, job: str) -> str:
    """Return the commands and actions of a job as one text."""
    return "\n".join(str(step.get("run", step.get("uses", ""))) for step in read(name)["jobs"][job]["steps"])


def ancestors(jobs: dict[str, Any], name: str) -> set[str]:
    needs = jobs[name].get("needs", [])
    direct = {needs} if isinstance(needs, str) else set(needs)
    return direct.union(*(ancestors(jobs, one) for one in direct)) if direct else set()


def test_nothing_is_pushed_before_the_tests_have_passed() -> None:
    jobs = read("release")["jobs"]
    assert jobs["tests"]["uses"] == "./.github/workflows/ci.yaml"
    # PyYAML reads the key `on` as true.
    assert "workflow_call" in read("ci")[True]  # type: ignore[index]
    writers = [name for name, job in jobs.items() if "write" in str(job.get("permissions"))]
    assert set(writers) == {"build", "images", "overlay"}
    for name in writers:
        assert "tests" in ancestors(jobs, name), name


def test_the_pushed_digest_is_what_is_described_audited_signed_and_attested() -> None:
    done = steps("release", "images")
    name = "image-$ROLE.txt"
    for command in ("supply_chain.py packages", "cosign sign", "cosign attest"):
        assert re.search(rf'{command}[^\n]*"\$\(cat "{re.escape(name)}"\)"', done), command
    assert "supply_chain.py audit" in done
    assert "actions/attest-build-provenance@" in done
    assert "docker build " not in done
    assert read("release")["jobs"]["images"]["permissions"]["id-token"] == "write"


def test_both_images_are_audited_every_day() -> None:
    job = read("supply-chain")["jobs"]["packages"]
    assert job["strategy"]["matrix"]["role"] == ["serving", "components"]
    assert not any("if" in step for step in job["steps"])
    assert 'audit "packages-$ROLE.txt"' in steps("supply-chain", "packages")


def test_a_release_builds_two_architectures_from_packages_by_hash() -> None:
    runners = read("release")["jobs"]["build"]["strategy"]["matrix"]["runner"]
    assert runners == ["ubuntu-24.04", "ubuntu-24.04-arm"]
    script = (ROOT / ".github" / "delivery" / "build.sh").read_text(encoding="utf-8")
    assert "REQUIREMENTS=$role/requirements.txt" in script
    for role in ("serving", "components"):
        assert "--require-hashes --no-deps" in (ROOT / role / "Dockerfile").read_text(encoding="utf-8")


def test_every_file_that_a_workflow_runs_or_changes_exists() -> None:
    for path in WORKFLOWS.values():
        text = path.read_text(encoding="utf-8")
        for named in re.findall(r"(?:\.github/delivery|manifests)/[\w./-]+\.(?:py|sh|yaml)", text):
            assert (ROOT / named).exists(), f"{path.name}: {named}"


def test_every_action_is_pinned_by_commit() -> None:
    for path in WORKFLOWS.values():
        for used in re.findall(r"uses: (\S+)", path.read_text(encoding="utf-8")):
            assert used.startswith("./") or re.fullmatch(r"[\w./-]+@[0-9a-f]{40}", used), used


DOCKER = """#!/usr/bin/env bash
echo "docker $*" >> "$RECORD"
case "$1 $2" in
  "inspect "*) echo python@sha256:base ;;
  "buildx build") while [ "$1" != --metadata-file ]; do shift; done; echo "$METADATA" > "$2" ;;
esac
"""


@pytest.mark.parametrize("digest", ["sha256:" + "5" * 64, "none"])
def test_the_build_writes_the_pushed_digest_or_fails(digest: str, tmp_path: Path) -> None:
    (tmp_path / "docker").write_text(DOCKER, encoding="utf-8")
    (tmp_path / "docker").chmod(0o755)
    environment = {
        "PATH": f"{tmp_path}:/usr/bin:/bin",
        "RECORD": str(tmp_path / "record"),
        "METADATA": f'{{"containerimage.digest": "{digest}"}}',
        "GITHUB_REPOSITORY_OWNER": "Owner",
        "GITHUB_REF_NAME": "v1.2.3",
        "GITHUB_SHA": "abc",
    }
    script = ROOT / ".github" / "delivery" / "build.sh"
    done = subprocess.run(
        ["bash", script, "serving", tmp_path / "out"], env=environment, capture_output=True, text=True, check=False
    )
    record = (tmp_path / "record").read_text(encoding="utf-8")
    assert "--build-arg VERSION=1.2.3" in record
    assert "push-by-digest=true" in record
    if digest == "none":
        assert done.returncode == 1
        assert "expected sha256:" in done.stderr
        assert not (tmp_path / "out").exists()
        return
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out").read_text() == f"ghcr.io/owner/review-sentiment-serving@{digest}\n"


def test_scripts_are_clean() -> None:
    shellcheck = Path(sys.executable).with_name("shellcheck")
    scripts = sorted((ROOT / ".github").rglob("*.sh"))
    done = subprocess.run([shellcheck, *scripts], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
