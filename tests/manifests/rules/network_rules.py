"""What network policies do together: whatever a policy selects may do only what one of the policies names."""

from __future__ import annotations

from collections.abc import Iterator

from ..render import Document, name_of, of_kind
from .leaves import leaves
from .selectors import Pod, pods

NODE_LOCAL_DNS = "169.254.20.10/32"
STORAGE_LABEL = "review-sentiment/object-storage"


def problems(documents: list[Document]) -> Iterator[str]:
    """Yield what the policies cut off that must work. Raises KeyError without a runtime."""
    running = list(pods(documents))
    yield from _way_out(documents)
    yield from _storage(running)
    yield from _names(documents)
    yield from _isolated(documents, {pod.namespace for pod in running})
    yield from _platform(documents)
    yield from _other_namespaces(documents)


def _way_out(documents: list[Document]) -> Iterator[str]:
    """Yield ways out that pods with access to S3 need and do not have."""
    found = {
        (block["ipBlock"]["cidr"], port["port"])
        for policy in of_kind(documents, "NetworkPolicy")
        for rule in policy["spec"].get("egress", [])
        for block in rule.get("to", [])
        if "ipBlock" in block
        for port in rule["ports"]
    }
    for cidr, port, what in (
        ("169.254.169.254/32", 80, "the metadata service"),
        ("169.254.170.23/32", 80, "EKS Pod Identity"),
        ("169.254.169.252/32", 988, "GKE's metadata server"),
        ("0.0.0.0/0", 443, "S3's public end points"),
    ):
        if (cidr, port) not in found:
            yield f"egress: nothing may reach {what} ({cidr}, port {port})"
    private = [cidr for cidr, port in found if port == 443 and cidr != "0.0.0.0/0"]
    if not private:
        yield "egress: nothing may reach interface end points in the private network (port 443)"


def _storage(running: list[Pod]) -> Iterator[str]:
    for pod in running:
        containers = pod.spec["containers"] + pod.spec.get("initContainers", [])
        sources = [source.get("secretRef", {}).get("name") for one in containers for source in one.get("envFrom", [])]
        if "s3" in sources and pod.labels.get(STORAGE_LABEL) != "true":
            yield f"egress: {pod.name}: takes the Secret s3 without the label {STORAGE_LABEL}, and reaches no S3"


def _names(documents: list[Document]) -> Iterator[str]:
    """Yield the policies that cut pods off from DNS: one for all pods, or for the same ones, must let them ask."""
    policies = of_kind(documents, "NetworkPolicy")
    for policy in policies:
        if "Egress" not in policy["spec"]["policyTypes"]:
            continue
        namespace, selector = policy["metadata"]["namespace"], policy["spec"]["podSelector"]
        beside = [
            rule
            for one in policies
            if one["metadata"]["namespace"] == namespace and one["spec"]["podSelector"] in ({}, selector)
            for rule in one["spec"].get("egress", [])
            if {(port["protocol"], port["port"]) for port in rule.get("ports", [])} >= {("UDP", 53), ("TCP", 53)}
        ]
        text = str([rule["to"] for rule in beside])
        for what, found in (("the cluster's DNS", "kube-dns"), ("NodeLocal DNS", NODE_LOCAL_DNS)):
            if found not in text:
                yield f"egress: {name_of(policy)} in {namespace}: its pods may not ask {what} for names"


def _isolated(documents: list[Document], own: set[str]) -> Iterator[str]:
    """Yield policies on other people's pods that shut out those pods' own namespace."""
    for policy in of_kind(documents, "NetworkPolicy"):
        spec = policy["spec"]
        if policy["metadata"]["namespace"] in own or "Ingress" not in spec["policyTypes"]:
            continue
        if not any({"podSelector": {}} in rule.get("from", []) and "ports" not in rule for rule in spec["ingress"]):
            yield f"admission: {name_of(policy)}: shuts out the other pods of {policy['metadata']['namespace']}"


def _profiles(documents: list[Document]) -> set[str]:
    return {one["metadata"]["namespace"] for one in of_kind(documents, "PodDefault")}


def _platform(documents: list[Document]) -> Iterator[str]:
    """Yield the services of the platform that the pipelines' steps cannot reach."""
    for profile in _profiles(documents):
        for name in ("mlflow", "evidently"):
            policies = [one for one in of_kind(documents, "NetworkPolicy") if one["metadata"]["name"] == name]
            if not any(profile in map(str, dict(leaves(policy["spec"]["ingress"])).values()) for policy in policies):
                yield f"admission: no policy lets the steps in {profile} reach {name}"


def _other_namespaces(documents: list[Document]) -> Iterator[str]:
    """Yield the services of other namespaces that ours may not reach although other policies may guard them."""
    own = {one["metadata"]["namespace"] for one in of_kind(documents, "Job")}
    for profile in _profiles(documents):
        for name, port, callers, who in (
            ("alertmanager", 9093, {profile}, f"the steps in {profile}"),
            ("ml-pipeline", 8888, own, f"the Job monitoring-schedule in {sorted(own)}"),
        ):
            admitted = {
                value
                for policy in of_kind(documents, "NetworkPolicy")
                if name in policy["spec"]["podSelector"].get("matchLabels", {}).values()
                for rule in policy["spec"]["ingress"]
                if port in [one["port"] for one in rule.get("ports", [])]
                for value in dict(leaves(rule["from"])).values()
            }
            if not callers <= admitted:
                yield f"admission: no policy lets {who} reach {name}"
