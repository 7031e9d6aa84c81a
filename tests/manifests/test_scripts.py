"""The scripts of a deployment: each alone, without a cluster. A recording kubectl stands in for one."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from feature_checks.bundle import Bundle
from tests.support.live_server import live

from .conftest import Rendered
from .render import MANIFESTS, ROOT, of_kind, tool
from .rules.leaves import leaves

SCRIPTS = sorted([*MANIFESTS.rglob("*.sh")])
RECORDER = """#!/usr/bin/env bash
echo "$(basename "$0") $*" >> "$RECORD"
case "$*" in
  *"get job $FAILS "*) echo FailureTarget Failed ;;
  *"get job "*) echo SuccessCriteriaMet Complete ;;
  *"get inferenceservice sentiment "*) echo http://sentiment-predictor.review-sentiment.example.com ;;
  *"get configmap inferenceservice-config "*) echo '{"ingressClassName": "istio", "disableIstioVirtualHost": false}' ;;
esac
"""


@pytest.fixture
def recorder(tmp_path: Path) -> dict[str, str]:
    """An environment in which tools write down what they are called with, and every Job but FAILS has finished."""
    for name in ("kubectl", "docker", "kind"):
        (tmp_path / name).write_text(RECORDER, encoding="utf-8")
        (tmp_path / name).chmod(0o755)
    return os.environ | {
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
        "RECORD": str(tmp_path / "record"),
        "FAILS": "none",
    }


def run(script: str, *arguments: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", MANIFESTS / script, *arguments], capture_output=True, text=True, check=False, env=env
    )


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_a_script_is_clean_and_executable(path: Path) -> None:
    shellcheck = Path(sys.executable).with_name("shellcheck")
    done = subprocess.run(
        [shellcheck, "--external-sources", path.name], capture_output=True, text=True, cwd=path.parent
    )
    assert done.returncode == 0, done.stdout
    assert os.access(path, os.X_OK)


@pytest.mark.parametrize("mode", ["knative", "standard"])
def test_the_parts_are_applied_in_order_each_after_the_one_before(mode: str, recorder: dict[str, str]) -> None:
    done = run("deploy.sh", "prod", mode, env=recorder)
    assert done.returncode == 0, done.stderr
    record = Path(recorder["RECORD"]).read_text(encoding="utf-8")
    applied = re.findall(r"apply --kustomize overlays/prod/(\w+)", record)
    assert applied == ["platform", "profile", "kubeflow", "monitoring", "training", mode]
    for earlier, later in (
        ("get job mlflow-database", "overlays/prod/training"),
        ("deployment/mlflow", "overlays/prod/training"),
        ("get job mlflow-users", "overlays/prod/training"),
        ("get job bootstrap", f"overlays/prod/{mode}"),
    ):
        assert record.index(earlier) < record.index(later)
    assert "--namespace review-sentiment-prod wait inferenceservice" in record


@pytest.mark.parametrize("part", ["platform", "training"])
def test_a_job_is_deleted_before_its_part_is_applied_again(
    part: str, recorder: dict[str, str], rendered: Rendered
) -> None:
    assert run("deploy.sh", "local", "standard", env=recorder).returncode == 0
    before = Path(recorder["RECORD"]).read_text(encoding="utf-8").partition(f"overlays/local/{part}")[0]
    deleted = {name for names in re.findall(r"delete job ([\w -]+?) --", before) for name in names.split()}
    assert {job["metadata"]["name"] for job in of_kind(rendered(f"local/{part}"), "Job")} <= deleted


def test_a_job_that_fails_stops_the_deployment(recorder: dict[str, str]) -> None:
    done = run("deploy.sh", "prod", "knative", env=recorder | {"FAILS": "mlflow-users"})
    assert done.returncode == 1
    assert "the Job mlflow-users in review-sentiment-prod has failed" in done.stderr
    record = Path(recorder["RECORD"]).read_text(encoding="utf-8")
    assert "logs job/mlflow-users" in record
    assert "overlays/prod/training" not in record


def test_an_unknown_environment_is_named(recorder: dict[str, str]) -> None:
    done = run("deploy.sh", "production", "knative", env=recorder)
    assert done.returncode == 2
    assert "overlays/production/knative" in done.stderr
    assert not Path(recorder["RECORD"]).exists()


@pytest.mark.parametrize("mode", ["standard", "knative", "pipelines"])
def test_the_installer_applies_pinned_releases_only(mode: str, recorder: dict[str, str]) -> None:
    done = run("laptop/install.sh", mode, env=recorder)
    assert done.returncode == 0, done.stderr
    addresses = re.findall(r"https://\S+", Path(recorder["RECORD"]).read_text(encoding="utf-8"))
    assert addresses
    assert [one for one in addresses if not re.search(r"/(knative-)?v\d+\.\d+\.\d+/|ref=\d+\.\d+\.\d+", one)] == []
    assert run("laptop/install.sh", "raw", env=recorder).returncode == 2


def test_kserve_is_installed_with_its_definitions_first(recorder: dict[str, str]) -> None:
    assert run("laptop/install.sh", "standard", env=recorder).returncode == 0
    record = Path(recorder["RECORD"]).read_text(encoding="utf-8")
    order = [
        "create namespace kserve",
        "/kserve-crds.yaml",
        "/kserve.yaml",
        "rollout status deployment/kserve",
    ]
    assert [record.index(one) for one in order] == sorted(record.index(one) for one in order)


@pytest.mark.parametrize("mode", ["standard", "knative"])
def test_without_istio_the_predictors_own_address_is_the_services(mode: str, recorder: dict[str, str]) -> None:
    """KServe would otherwise publish a host name that only an Istio VirtualService answers to."""
    assert run("laptop/install.sh", mode, env=recorder).returncode == 0
    record = Path(recorder["RECORD"]).read_text(encoding="utf-8")
    (patch,) = re.findall(r"patch configmap inferenceservice-config --type merge --patch (\{.*\})", record)
    ingress = json.loads(json.loads(patch)["data"]["ingress"])
    assert ingress == {"ingressClassName": "istio", "disableIstioVirtualHost": True}
    assert record.index(patch) < record.index("rollout restart deployment/kserve-controller-manager")


def test_kourier_appends_the_address_of_its_caller(recorder: dict[str, str]) -> None:
    """By default it passes X-Forwarded-For on as it is, so that a forged address would count."""
    assert run("laptop/install.sh", "knative", env=recorder).returncode == 0
    record = Path(recorder["RECORD"]).read_text(encoding="utf-8")
    (patch,) = re.findall(r"patch configmap config-kourier --type merge --patch (\{.*\})", record)
    assert json.loads(patch) == {"data": {"use-remote-address": "true"}}


def test_the_images_that_are_loaded_are_those_that_the_overlay_runs(
    recorder: dict[str, str], rendered: Rendered
) -> None:
    assert run("laptop/images.sh", env=recorder).returncode == 0
    record = Path(recorder["RECORD"]).read_text(encoding="utf-8")
    loaded = re.findall(r"kind load docker-image --name review-sentiment (\S+)", record)
    cluster = yaml.safe_load((MANIFESTS / "laptop" / "kind.yaml").read_text(encoding="utf-8"))
    assert cluster["name"] == "review-sentiment"
    used = {value for document in rendered("local-standard") for _, value in leaves(document)}
    assert set(loaded) == {one for one in used if str(one).startswith("kind.local/")}
    assert re.findall(r"docker build .*--tag (\S+)", record) == loaded


@pytest.mark.parametrize(
    ("mode", "host"),
    [("standard", "sentiment.localhost"), ("knative", "sentiment-predictor.review-sentiment.example.com")],
)
def test_the_host_name_is_the_one_that_the_gateway_knows(mode: str, host: str, recorder: dict[str, str]) -> None:
    done = run("laptop/host.sh", mode, env=recorder)
    assert (done.returncode, done.stdout) == (0, f"{host}\n")
    assert run("laptop/host.sh", "raw", env=recorder).returncode == 2


def test_the_smoke_test_passes_on_a_served_model(tmp_path: Path, tiny_bundle: Bundle) -> None:
    settings: dict[str, Any] = {"MODEL_URI": str(tiny_bundle.folder), "PREDICTION_LOG": "off"}
    with live(tmp_path, ready=False, **settings) as server:
        server.wait_ready(200)
        done = run("laptop/predict.sh", server.http, "sentiment.localhost")
    assert done.returncode == 0, done.stderr
    assert re.fullmatch(r'model version \w+: "(negative|neutral|positive)"\n', done.stdout), done.stdout


class Nobody(BaseHTTPRequestHandler):
    """A server that answers everything with 200 and nothing of ours."""

    def do_POST(self) -> None:
        """Answer one request."""
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def test_the_smoke_test_fails_on_an_answer_without_a_version() -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), Nobody) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        done = run("laptop/predict.sh", f"http://127.0.0.1:{server.server_port}")
        server.shutdown()
    assert done.returncode == 1
    assert "without a label or without X-Model-Version" in done.stderr


def test_the_page_and_the_workflow_run_the_same_scripts_in_the_same_order() -> None:
    page = (ROOT / "docs" / "how-to" / "laptop-cluster.md").read_text(encoding="utf-8").partition("```bash")[2]
    workflow = (ROOT / ".github" / "workflows" / "cluster.yaml").read_text(encoding="utf-8")
    script = re.compile(r"kind create cluster --config \S+|manifests/(?:laptop/)?\w+\.sh(?: pipelines| local)?")
    assert script.findall(page.partition("```")[0]) == script.findall(workflow)


@pytest.fixture(scope="module")
def secrets() -> dict[str, set[str]]:
    """The Secrets that the script prints, by name, with their keys."""
    tool("kubectl", "https://kubernetes.io/docs/tasks/tools/")
    done = run("laptop/secrets.sh")
    assert done.returncode == 0, done.stderr
    documents = [one for one in yaml.safe_load_all(done.stdout) if one]
    assert {one["metadata"]["namespace"] for one in documents} == {"review-sentiment"}
    return {one["metadata"]["name"]: set(one["data"]) for one in documents}


@pytest.mark.parametrize("mode", ["knative", "standard"])
def test_every_secret_of_the_laptop_overlay_is_made(
    mode: str, rendered: Rendered, secrets: dict[str, set[str]]
) -> None:
    wanted: set[tuple[str, str]] = set()
    for document in rendered(f"local-{mode}"):
        found = dict(leaves(document))
        for path, name in found.items():
            if path.endswith(".secretKeyRef.name"):
                wanted.add((name, found[path.removesuffix("name") + "key"]))
            elif path.endswith(".secret.secretName"):
                stem = path.removesuffix("secretName")
                keys = [value for at, value in found.items() if at.startswith(f"{stem}items.") and at.endswith(".key")]
                wanted |= {(name, key) for key in keys} or {(name, "tls.crt")}
    assert len(wanted) > 12
    assert [(name, key) for name, key in sorted(wanted) if key not in secrets.get(name, set())] == []


def test_no_script_names_a_package_index() -> None:
    for path in [*SCRIPTS, ROOT / "manifests" / "laptop" / "versions.env"]:
        assert "pypi" not in path.read_text(encoding="utf-8").lower()
