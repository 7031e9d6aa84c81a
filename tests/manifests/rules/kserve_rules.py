"""What KServe's admission webhook refuses beyond its schema.

After component.go and inference_service_validation.go in pkg/apis/serving/v1beta1 and env_policy.go in pkg/validation.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from ..render import Document, name_of, of_kind
from .knative import mode_of

NAME = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
BLOCKED_VARIABLES = {"PYTHONPATH"}
SCALING_ANNOTATIONS = {f"autoscaling.knative.dev/{name}" for name in ("target", "metric", "minScale", "min-scale")}
CONTAINER = "kserve-container"


def problems(documents: list[Document]) -> Iterator[str]:
    """Yield what is refused in the InferenceServices, their runtimes and graphs."""
    runtimes = {runtime["metadata"]["name"]: runtime for runtime in of_kind(documents, "ServingRuntime")}
    for service in of_kind(documents, "InferenceService"):
        yield from (f"kserve: {name_of(service)}: {problem}" for problem in _service(service, runtimes))
    for runtime in runtimes.values():
        if [container["name"] for container in runtime["spec"]["containers"]] != [CONTAINER]:
            yield f"kserve: {name_of(runtime)}: its one container must be named {CONTAINER}"
    for graph in of_kind(documents, "InferenceGraph"):
        yield from (f"kserve: {name_of(graph)}: {problem}" for problem in _graph(graph))


def _service(service: Document, runtimes: dict[str, Document]) -> Iterator[str]:
    name, predictor = service["metadata"]["name"], service["spec"]["predictor"]
    if not NAME.fullmatch(name):
        yield f"the name {name!r} must be lower-case letters, digits and '-', beginning with a letter"
    yield from _replicas(predictor)
    yield from _scaling(service, predictor)
    model = predictor.get("model")
    if model is None or sum(key in predictor for key in ("model", "sklearn", "onnx", "triton", "huggingface")) != 1:
        yield "exactly one predictor is needed, as `model`"
        return
    if "name" in model:
        yield "the model must not have a name"
    yield from _variables(model)
    runtime = runtimes.get(model.get("runtime", ""))
    if runtime is None:
        yield f"runtime {model.get('runtime')!r} is not a ServingRuntime of this namespace"
        return
    yield from _variables(runtime["spec"]["containers"][0])
    if model.get("protocolVersion") not in runtime["spec"].get("protocolVersions", []):
        yield f"runtime {model['runtime']!r} does not speak protocolVersion {model.get('protocolVersion')!r}"
    formats = [one["name"] for one in runtime["spec"].get("supportedModelFormats", [])]
    if model["modelFormat"]["name"] not in formats:
        yield f"runtime {model['runtime']!r} supports {formats}, not {model['modelFormat']['name']!r}"


def _replicas(predictor: dict[str, Any]) -> Iterator[str]:
    least, most = predictor.get("minReplicas", 1), predictor.get("maxReplicas", 0)
    if least < 0 or most < 0:
        yield f"minReplicas {least} and maxReplicas {most} must not be negative"
    if most and least > most:
        yield f"minReplicas {least} is over maxReplicas {most}"
    if predictor.get("containerConcurrency", 0) < 0:
        yield "containerConcurrency must not be negative"
    if not 0 <= predictor.get("canaryTrafficPercent", 100) <= 100:
        yield f"canaryTrafficPercent {predictor['canaryTrafficPercent']} is not within 0 and 100"


def _scaling(service: Document, predictor: dict[str, Any]) -> Iterator[str]:
    annotations = service["metadata"].get("annotations", {}) | predictor.get("annotations", {})
    scaler = annotations.get("serving.kserve.io/autoscalerClass", "hpa")
    if scaler not in ("hpa", "external", "keda", "none"):
        yield f"autoscalerClass {scaler!r} is unknown"
    if mode_of(service) == "Standard":
        yield from _standard_scaling(predictor, scaler)
        return
    if predictor.get("scaleMetric", "concurrency") not in ("concurrency", "rps"):
        yield f"scaleMetric {predictor['scaleMetric']!r} is not one of Knative's: concurrency, rps"
    if predictor.get("scaleTarget", 1) < 1:
        yield f"scaleTarget {predictor['scaleTarget']} must be 1 at least"
    for field in ("deploymentStrategy", "autoScaling"):
        if field in predictor:
            yield f"{field} is for the standard deployment mode only"
    if {"scaleTarget", "scaleMetric"} & set(predictor) and SCALING_ANNOTATIONS & set(annotations):
        yield "scaleTarget or scaleMetric and Knative's annotations: one of the two"


def _standard_scaling(predictor: dict[str, Any], scaler: str) -> Iterator[str]:
    if predictor.get("scaleMetric", "cpu") not in ("cpu", "memory"):
        yield f"scaleMetric {predictor['scaleMetric']!r} is Knative's; in Standard mode cpu or memory"
    if "autoScaling" in predictor and {"scaleMetric", "scaleTarget"} & set(predictor):
        yield "autoScaling and scaleMetric or scaleTarget: one of the two"
    for metric in predictor.get("autoScaling", {}).get("metrics", []):
        if metric["type"] == "External" and scaler != "keda":
            yield f"an External metric needs the autoscalerClass keda, not {scaler!r}"
        if metric["type"] == "External" and "value" not in metric["external"].get("target", {}):
            yield "an External metric needs target.value: KServe hands no other one to KEDA"


def _variables(container: dict[str, Any]) -> Iterator[str]:
    for variable in container.get("env", []):
        if variable["name"] in BLOCKED_VARIABLES:
            yield f"setting {variable['name']} is not allowed"


def _graph(graph: Document) -> Iterator[str]:
    nodes = graph["spec"]["nodes"]
    if "root" not in nodes:
        yield "a graph needs a node named root"
    for name, node in nodes.items():
        weights = [step.get("weight") for step in node.get("steps", [])]
        if node["routerType"] == "Splitter" and (None in weights or sum(weights) != 100):
            yield f"the weights of {name} are {weights}; their sum must be 100"
