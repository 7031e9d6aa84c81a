"""Our own rules for what is applied: images, privileges, limits, probes, secrets."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from serving.settings import Settings

from ..render import Document, name_of, of_kind
from .knative import mode_of

WORKLOADS = ("Deployment", "StatefulSet", "Job", "CronJob", "ServingRuntime")
SECRET_WORDS = re.compile(r"PASSWORD|TOKEN|SECRET|ACCESS_KEY|HASH_KEY|REDIS_URL|BACKEND_STORE_URI")
NO_SECRET = {"KF_PIPELINES_SA_TOKEN_PATH"}
"""Names that only look like secrets."""
WITH_PASSWORD = re.compile(r"[a-z0-9+]+://[^/\s:@]*:[^/\s@]+@")
SERVER_VARIABLES = {name.upper() for name in Settings.model_fields}


def problems(documents: list[Document]) -> Iterator[str]:
    """Yield what breaks a rule."""
    for document in documents:
        for problem in _document(document):
            yield f"policy: {name_of(document)}: {problem}"


def pod_of(document: Document) -> dict[str, Any]:
    """Return the pod's specification of a workload; a ServingRuntime's is itself one."""
    spec: dict[str, Any] = document["spec"]
    if document["kind"] == "CronJob":
        spec = spec["jobTemplate"]["spec"]
    return spec if document["kind"] == "ServingRuntime" else spec["template"]["spec"]


def image_problem(image: str) -> str | None:
    """Return what is wrong with an image's name: it needs a digest, or a tag that stays."""
    name, _, digest = image.partition("@")
    if digest:
        return None if re.fullmatch(r"sha256:[0-9a-f]{64}", digest) else f"image {image!r} has a malformed digest"
    tag = name.rpartition("/")[2].partition(":")[2]
    if tag in ("", "latest"):
        return f"image {image!r} names no release: tag it, or give its digest"
    return None


def pipeline_problems(document: Document) -> Iterator[str]:
    """Yield what is wrong with the images of a compiled pipeline."""
    for name, executor in document["deploymentSpec"]["executors"].items():
        image = executor["container"]["image"]
        if (problem := image_problem(image)) is not None:
            yield f"policy: pipeline: {name}: {problem}"
        if image.partition("@")[0].rpartition("/")[2].partition(":")[0] != "review-sentiment-components":
            yield f"policy: pipeline: {name}: image {image!r}; expected review-sentiment-components"


def _document(document: Document) -> Iterator[str]:
    kind = document.get("kind")
    if kind == "Secret":
        yield "a Secret with its content; refer to one by name"
    if kind == "ServiceAccount" and document.get("automountServiceAccountToken") is not False:
        yield "automountServiceAccountToken must be false"
    if kind == "InferenceService":
        yield from _inference_service(document)
    if kind in WORKLOADS:
        yield from _pod(kind, pod_of(document))


def _inference_service(document: Document) -> Iterator[str]:
    predictor = document["spec"]["predictor"]
    yield from _service_account(predictor)
    knative = mode_of(document) == "Knative"
    for field in ("terminationGracePeriodSeconds", "lifecycle"):
        if knative and (field in predictor or field in predictor.get("model", {})):
            yield f"{field} is refused by Knative"
    if document["metadata"].get("namespace", "").endswith("-prod") and predictor.get("minReplicas", 1) < 1:
        yield "minReplicas is 0 in prod: the first request would wait for a cold start"
    yield from _variables(predictor.get("model", {}), ours=True)


def _pod(kind: str, pod: dict[str, Any]) -> Iterator[str]:
    if kind != "ServingRuntime":
        yield from _service_account(pod)
    for field in ("hostNetwork", "hostPID", "hostIPC"):
        if pod.get(field):
            yield f"{field} is set"
    if "terminationGracePeriodSeconds" in pod:
        yield "terminationGracePeriodSeconds is set: draining is in the process"
    if any("hostPath" in volume for volume in pod.get("volumes", [])):
        yield "a hostPath volume"
    for container in pod["containers"]:
        if kind not in ("Job", "CronJob"):
            yield from _probes(container)
        yield from _container(container)
    for container in pod.get("initContainers", []):
        yield from _container(container)
    if kind == "ServingRuntime":
        yield from _variables(pod["containers"][0], ours=True)


def _service_account(pod: dict[str, Any]) -> Iterator[str]:
    if not pod.get("serviceAccountName"):
        yield "no serviceAccountName"
    if pod.get("automountServiceAccountToken") is not False:
        yield "automountServiceAccountToken must be false"


def _probes(container: dict[str, Any]) -> Iterator[str]:
    for probe in ("readinessProbe", "livenessProbe"):
        if probe not in container:
            yield f"container {container['name']} has no {probe}"


def _container(container: dict[str, Any]) -> Iterator[str]:
    name, security = container["name"], container.get("securityContext", {})
    if (problem := image_problem(container.get("image", ""))) is not None:
        yield f"container {name}: {problem}"
    if "lifecycle" in container:
        yield f"container {name} has a lifecycle hook"
    for resource in ("cpu", "memory"):
        if resource not in container.get("resources", {}).get("limits", {}):
            yield f"container {name} has no {resource} limit"
    if security.get("runAsNonRoot") is not True or not security.get("runAsUser") or not security.get("runAsGroup"):
        yield f"container {name} may run as root"
    if security.get("readOnlyRootFilesystem") is not True:
        yield f"container {name} may write to its root file system"
    if security.get("allowPrivilegeEscalation") is not False or security.get("privileged"):
        yield f"container {name} may gain privileges"
    if security.get("capabilities") != {"drop": ["ALL"]}:
        yield f"container {name} keeps capabilities"
    if security.get("seccompProfile", {}).get("type") != "RuntimeDefault":
        yield f"container {name} has no seccomp profile"
    yield from _variables(container, ours=False)


def _variables(container: dict[str, Any], *, ours: bool) -> Iterator[str]:
    for variable in container.get("env", []):
        name, value = variable["name"], str(variable.get("value", ""))
        if ours and name not in SERVER_VARIABLES:
            yield f"the predictor has no setting {name}"
        if value and name not in NO_SECRET and (SECRET_WORDS.search(name) or WITH_PASSWORD.search(value)):
            yield f"{name} holds a secret in plain text; refer to a Secret"


def network_problems(documents: list[Document]) -> Iterator[str]:
    """Yield where nothing is denied by default."""
    closed = [
        policy
        for policy in of_kind(documents, "NetworkPolicy")
        if policy["spec"]["podSelector"] == {} and set(policy["spec"]["policyTypes"]) == {"Ingress", "Egress"}
        if "ingress" not in policy["spec"] and "egress" not in policy["spec"]
    ]
    if not closed:
        yield "policy: no NetworkPolicy denies everything by default"
