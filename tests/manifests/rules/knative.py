"""The Knative Service that KServe makes of an InferenceService, and what Knative refuses beyond its schema.

KServe: pkg/controller/v1beta1/inferenceservice/reconcilers/knative/ksvc_reconciler.go. Knative:
pkg/apis/serving/k8s_validation.go and fieldmask.go, with the default config-features.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ..render import Document, name_of, of_kind

EXTENSIONS = {
    *("minReplicas", "maxReplicas", "scaleTarget", "scaleMetric", "scaleMetricType", "timeout", "canaryTrafficPercent"),
    *("containerConcurrency", "labels", "annotations", "model", "logger", "batcher"),
}
"""Fields of a predictor that are KServe's own; the rest is the pod's."""

MERGED_BY = {"env": "name", "volumeMounts": "mountPath", "ports": "containerPort"}
RESERVED_PATHS = {"/", "/dev", "/dev/log"}
RESERVED_VARIABLES = {"PORT", "K_SERVICE", "K_CONFIGURATION", "K_REVISION"}
RESERVED_PORTS = {8012, 8013, 8022, 8008, 9090, 9091}
VOLUMES = {"secret", "configMap", "projected", "emptyDir"}


def mode_of(service: Document) -> str:
    """Return the deployment mode of an InferenceService: Knative or Standard (KServe's default)."""
    return str(service["metadata"].get("annotations", {}).get("serving.kserve.io/deploymentMode", "Standard"))


def services(documents: list[Document]) -> Iterator[Document]:
    """Yield the Knative Service of each InferenceService whose runtime is among the documents."""
    runtimes = {runtime["metadata"]["name"]: runtime for runtime in of_kind(documents, "ServingRuntime")}
    for service in of_kind(documents, "InferenceService"):
        if mode_of(service) != "Knative":
            continue
        yield knative_service(service, runtimes[service["spec"]["predictor"]["model"]["runtime"]])


def knative_service(service: Document, runtime: Document) -> Document:
    """Return the Knative Service of the first revision, before any canary has traffic."""
    predictor, metadata = service["spec"]["predictor"], service["metadata"]
    own = {key: value for key, value in predictor["model"].items() if key in ("env", "resources", "ports", "image")}
    container = merged(runtime["spec"]["containers"][0], own)
    pod = {key: value for key, value in predictor.items() if key not in EXTENSIONS}
    pod |= {"containers": [container], "volumes": runtime["spec"].get("volumes", []) + predictor.get("volumes", [])}
    annotations = {
        "autoscaling.knative.dev/class": "kpa.autoscaling.knative.dev",
        "autoscaling.knative.dev/min-scale": str(predictor.get("minReplicas", 1)),
        "autoscaling.knative.dev/max-scale": str(predictor.get("maxReplicas", 0)),
        "autoscaling.knative.dev/target": str(predictor.get("scaleTarget", 100)),
        "autoscaling.knative.dev/metric": predictor.get("scaleMetric", "concurrency"),
    }
    labels = predictor.get("labels", {}) | {"serving.kserve.io/inferenceservice": metadata["name"]}
    spec = pod | {
        "timeoutSeconds": predictor.get("timeout", 300),
        "containerConcurrency": predictor.get("containerConcurrency", 0),
    }
    return {
        "apiVersion": "serving.knative.dev/v1",
        "kind": "Service",
        "metadata": {"name": f"{metadata['name']}-predictor", "namespace": metadata.get("namespace")},
        "spec": {
            "template": {
                "metadata": {"annotations": annotations, "labels": labels},
                "spec": {key: value for key, value in spec.items() if value is not None},
            },
            "traffic": [{"latestRevision": True, "percent": 100}],
        },
    }


def merged(base: dict[str, Any], patch: dict[str, Any]) -> dict[str, Any]:
    """Return a runtime's container with a model's fields laid over it, as a strategic merge patch does."""
    made = dict(base)
    for key, value in patch.items():
        if key in MERGED_BY:
            by = MERGED_BY[key]
            kept = {one[by]: one for one in base.get(key, [])} | {one[by]: one for one in value}
            made[key] = list(kept.values())
        else:
            made[key] = value
    return made


def problems(service: Document) -> Iterator[str]:
    """Yield what Knative's admission refuses in a service."""
    pod = service["spec"]["template"]["spec"]
    for container in pod["containers"]:
        for problem in (*_container(container), *_ports(container), *_probes(container)):
            yield f"knative: {name_of(service)}: {problem}"
    mounted = {mount["name"] for container in pod["containers"] for mount in container.get("volumeMounts", [])}
    for volume in pod.get("volumes", []):
        if volume["name"] not in mounted:
            yield f"knative: {name_of(service)}: volume {volume['name']!r} is not mounted"
        if not VOLUMES & set(volume):
            yield f"knative: {name_of(service)}: volume {volume['name']!r} is none of {sorted(VOLUMES)}"
    for field in ("securityContext", "nodeSelector", "affinity", "tolerations", "initContainers"):
        if pod.get(field):
            yield f"knative: {name_of(service)}: {field} needs a feature that is off by default"
    if pod.get("automountServiceAccountToken"):
        yield f"knative: {name_of(service)}: automountServiceAccountToken may only be false"


def _container(container: dict[str, Any]) -> Iterator[str]:
    for field in ("lifecycle", "stdin", "tty"):
        if field in container:
            yield f"{field} is not allowed in a container"
    for variable in container.get("env", []):
        if variable["name"] in RESERVED_VARIABLES:
            yield f"{variable['name']} is a reserved environment variable"
    for mount in container.get("volumeMounts", []):
        if mount["mountPath"].rstrip("/") in {path.rstrip("/") for path in RESERVED_PATHS}:
            yield f"mountPath {mount['mountPath']} is reserved"


def _ports(container: dict[str, Any]) -> Iterator[str]:
    ports = container.get("ports", [])
    if len(ports) > 1:
        yield f"{len(ports)} ports; expected one"
    for port in ports:
        if port.get("name", "") not in ("", "http1", "h2c"):
            yield f"port name {port['name']!r}; expected http1 or h2c"
        if port["containerPort"] in RESERVED_PORTS:
            yield f"port {port['containerPort']} is reserved"


def _probes(container: dict[str, Any]) -> Iterator[str]:
    port = container.get("ports", [{"containerPort": 8080}])[0]["containerPort"]
    # Knative keeps the number of a readiness probe's port (queue-proxy probes it) and replaces that of the others.
    for kind in ("livenessProbe", "startupProbe"):
        probe = container.get(kind, {})
        for handler in ("httpGet", "tcpSocket"):
            if handler in probe and probe[handler].get("port", port) != port:
                yield f"{kind} goes to port {probe[handler]['port']}; Knative sends it to {port}"
    if "exec" in container.get("readinessProbe", {}):
        yield "readinessProbe is a command: Knative's activator cannot probe it quickly; use httpGet with its port"


def revision(service: Document) -> Document:
    """Return the Revision that Knative makes of a service's template."""
    template = service["spec"]["template"]
    metadata = template["metadata"] | {"name": f"{service['metadata']['name']}-00001"}
    return {"apiVersion": "serving.knative.dev/v1", "kind": "Revision", "metadata": metadata, "spec": template["spec"]}
