"""Faults that no admission check finds, because a controller acts on them later."""

from __future__ import annotations

import re
from collections.abc import Iterator
from ipaddress import ip_address, ip_network
from typing import Any

from serving.settings import Settings

from ..render import Document, name_of, of_kind
from .knative import mode_of
from .leaves import leaves

LOCAL_REGISTRIES = ("kind.local/", "ko.local/", "dev.local/")
"""Knative looks up the digest of every tag in the image's registry, but not for these."""
QUEUE_PROXY_QUIET_SECONDS = 30
"""How long queue-proxy waits without a request before the container is stopped (cmd/queue, drainSleepDuration)."""
ENDPOINT_SECONDS = 10
"""How long a gateway may still send requests to a pod that is not ready any more."""
CLIENT, HOPS = "203.0.113.7", ("10.244.1.5", "10.244.2.9")
"""A client, and the pods of the gateway and of Knative's activator on its way."""
PLACEHOLDER = "PARAMETER"
JOB_HOOK = "argocd.argoproj.io/hook-delete-policy"
PIPELINE_RIGHTS = {"experiments": {"list", "create"}, "jobs": {"list", "create", "delete"}}
"""What Kubeflow's API server asks the cluster about the schedule's caller: a recurring run is a `job` there."""


def problems(documents: list[Document]) -> Iterator[str]:
    """Yield what would go wrong in the documents of one namespace after they are applied."""
    rules = (_canary, _graph, _image, _timeout, _trusted, _placeholder, _monitoring, _knative_metrics, _schedule, _job)
    for document in documents:
        for rule in rules:
            for problem in rule(document, documents):
                yield f"cluster: {name_of(document)}: {problem}"


def _canary(document: Document, _: list[Document]) -> Iterator[str]:
    if document["kind"] == "InferenceService" and "canaryTrafficPercent" in document["spec"]["predictor"]:
        yield "canaryTrafficPercent is static: a later apply without a new revision rolls back to the old one"


def _graph(document: Document, documents: list[Document]) -> Iterator[str]:
    """KServe's router pods have no seccompProfile, which the level `restricted` demands."""
    if document["kind"] != "InferenceGraph":
        return
    for namespace in of_kind(documents, "Namespace"):
        level = namespace["metadata"].get("labels", {}).get("pod-security.kubernetes.io/enforce")
        if namespace["metadata"]["name"] == document["metadata"]["namespace"] and level == "restricted":
            yield "its router pods are refused by the namespace's pod security level restricted"
    if not any(one["metadata"]["name"] == document["metadata"]["namespace"] for one in of_kind(documents, "Namespace")):
        yield "the namespace of its router pods is not among these documents, so its pod security level is unknown"


def _image(document: Document, documents: list[Document]) -> Iterator[str]:
    if document["kind"] != "ServingRuntime" or "Knative" not in map(mode_of, of_kind(documents, "InferenceService")):
        return
    image = document["spec"]["containers"][0]["image"]
    host, slash, _ = image.partition("/")
    if "@sha256:" in image or image.startswith(LOCAL_REGISTRIES):
        return
    if not slash or "." not in host or host.split(":")[0].endswith((".local", "localhost")):
        yield f"image {image!r}: Knative resolves its tag in a registry it cannot reach; use kind.local or a digest"


def _timeout(document: Document, _: list[Document]) -> Iterator[str]:
    if document["kind"] != "InferenceService":
        return
    predictor = document["spec"]["predictor"]
    request, grace, drain = (
        float(Settings.model_fields[name].default)
        for name in ("request_timeout_seconds", "grace_seconds", "drain_seconds")
    )
    if mode_of(document) == "Knative":
        needed, given, name = (
            QUEUE_PROXY_QUIET_SECONDS + request + grace + drain,
            predictor.get("timeout", 0),
            "timeout",
        )
    else:
        needed, given = grace + drain + ENDPOINT_SECONDS, predictor.get("terminationGracePeriodSeconds", 30)
        name = "terminationGracePeriodSeconds"
    if given < needed:
        yield f"{name} is {given}; queue-proxy's quiet period, the longest request, grace and drain need {needed:g}"


def _trusted(document: Document, documents: list[Document]) -> Iterator[str]:
    if document["kind"] != "ServingRuntime":
        return
    env = {one["name"]: one.get("value", "") for one in document["spec"]["containers"][0]["env"]}
    words = [
        word for word in env.get("TRUSTED_PROXIES", "loopback").split(",") if word not in ("loopback", PLACEHOLDER)
    ]
    networks = [ip_network("127.0.0.0/8"), *(ip_network(word) for word in words)]
    knative = "Knative" in map(mode_of, of_kind(documents, "InferenceService"))
    # Who the container sees, and the chain of X-Forwarded-For: each proxy adds the peer that it sees.
    peer, chain = ("127.0.0.1", [CLIENT, *HOPS]) if knative else (HOPS[0], [CLIENT])
    user = _right_most_untrusted(peer, chain, networks)
    if user != CLIENT:
        yield f"TRUSTED_PROXIES: every caller behind the gateway is the one user {user}; add the pods' range"


def _right_most_untrusted(peer: str, chain: list[str], networks: list[Any]) -> str:
    for address in [peer, *reversed(chain)]:
        if not any(ip_address(address) in network for network in networks):
            return address
    return peer


def _placeholder(document: Document, _: list[Document]) -> Iterator[str]:
    for path, value in leaves(document):
        if document["kind"] != "ConfigMap" and re.search(rf"\b{PLACEHOLDER}\b", str(value)):
            yield f"{path} is still {value!r}: parameters.env or its replacements lack it"


def _monitoring(document: Document, _: list[Document]) -> Iterator[str]:
    if document["kind"] in ("ServiceMonitor", "PrometheusRule") and not document["metadata"]["labels"].get("release"):
        yield "no label release: kube-prometheus-stack ignores it"
    if document["kind"] != "PrometheusRule":
        return
    for group in document["spec"]["groups"]:
        for rule in group["rules"]:
            if re.search(r"absent\((?![^)]*namespace=)", rule["expr"]):
                yield f"{rule['alert']}: absent() without a namespace is quiet while any namespace is scraped"
            if re.search(r"by \(namespace\) \(sentiment_ready", rule["expr"]):
                yield f"{rule['alert']}: one service that is ready hides another that is not; group by inferenceservice"


def _knative_metrics(document: Document, documents: list[Document]) -> Iterator[str]:
    """Requests that fail before the container are counted by Knative's own pods only."""
    if document["kind"] != "PrometheusRule" or "Knative" not in map(mode_of, of_kind(documents, "InferenceService")):
        return
    scraped = str([one["spec"]["selector"] for one in of_kind(documents, "ServiceMonitor")])
    for name in ("activator", "queue-proxy-metrics"):
        if f"'{name}'" not in scraped:
            yield f"no ServiceMonitor selects Knative's {name}: its alert can never fire"


def _schedule(document: Document, documents: list[Document]) -> Iterator[str]:
    if document["kind"] != "Job" or document["metadata"]["name"] != "monitoring-schedule":
        return
    (container,) = document["spec"]["template"]["spec"]["containers"]
    given = "\n".join(container["args"])
    for needed, why in {
        "--namespace=": "a multi-user Kubeflow refuses a schedule without a namespace",
        "--param=source=": "RETRAIN would train on the demo's reviews",
        "--name=$(NAMESPACE)": "two environments would delete each other's recurring run",
    }.items():
        if needed not in given:
            yield f"no {needed}: {why}"
    env = {one["name"]: one.get("value", "") for one in container["env"]}
    profile = env.get("PIPELINES_NAMESPACE", "")
    if profile and profile not in {one["metadata"]["namespace"] for one in of_kind(documents, "RoleBinding")}:
        yield f"its service account may do nothing in the namespace {profile}: no RoleBinding there"
    elif profile:
        yield from _rights(document, profile, documents)
    defaults = {one["metadata"]["namespace"] for one in of_kind(documents, "PodDefault")}
    if profile and profile not in defaults:
        yield f"the steps in {profile} get no access to S3 and MLflow: no PodDefault there"


def _rights(job: Document, profile: str, documents: list[Document]) -> Iterator[str]:
    """Yield what the Job's service account may not do in the profile."""
    name, namespace = job["spec"]["template"]["spec"]["serviceAccountName"], job["metadata"]["namespace"]
    account = {"kind": "ServiceAccount", "name": name, "namespace": namespace}
    near = [one for one in of_kind(documents, "Role", "RoleBinding") if one["metadata"]["namespace"] == profile]
    given = {one["roleRef"]["name"] for one in of_kind(near, "RoleBinding") if account in one["subjects"]}
    rules = [rule for one in of_kind(near, "Role") if one["metadata"]["name"] in given for rule in one["rules"]]
    for resource, verbs in PIPELINE_RIGHTS.items():
        allowed = {verb for rule in rules if resource in rule["resources"] for verb in rule["verbs"]}
        if not verbs <= allowed:
            yield f"{namespace}/{name} may not {', '.join(sorted(verbs - allowed))} {resource} in {profile}"


def _job(document: Document, _: list[Document]) -> Iterator[str]:
    """Nobody may change a Job's pod template, and a new image is a change of it."""
    if document["kind"] == "Job":
        if document["metadata"].get("annotations", {}).get(JOB_HOOK) != "BeforeHookCreation":
            yield f"{JOB_HOOK} is not BeforeHookCreation: Argo CD cannot apply the next release's image"
        if "ttlSecondsAfterFinished" not in document["spec"]:
            yield "no ttlSecondsAfterFinished: the finished Job stays"


def order_problems(documents: list[Document]) -> Iterator[str]:
    """Yield what one apply holds together though the later of the two needs the earlier to have finished."""
    kinds = {name_of(document) for document in documents}
    for earlier, later in (
        ("Deployment/mlflow", "Job/bootstrap"),
        ("Deployment/mlflow", "InferenceService/sentiment"),
        ("Job/bootstrap", "InferenceService/sentiment"),
    ):
        if {earlier, later} <= kinds:
            yield f"order: {later} is applied together with {earlier}, which must have finished before"
