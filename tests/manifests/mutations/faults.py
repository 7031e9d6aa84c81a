"""The faults that are planted into copies of prod: a change of one place, and words of the complaint it must bring."""

from __future__ import annotations

from typing import Any, NamedTuple

RUNTIME, SERVICE = "ServingRuntime/review-sentiment", "InferenceService/sentiment"
GRPC, MLFLOW, JOB = "ServingRuntime/review-sentiment-grpc", "Deployment/mlflow", "Job/monitoring-schedule"
MISSING = object()
BOX = ("spec", "containers", 0)
POD = ("spec", "template", "spec")


class Broken(NamedTuple):
    """A change of one place, and words of the complaint that it must bring."""

    document: str
    path: tuple[str | int, ...]
    value: Any
    complaint: str
    mode: str = "knative"


TABLE = {
    "schema-unknown-native-field": Broken(MLFLOW, ("spec", "replica"), 1, "schema: Deployment/mlflow"),
    "schema-wrong-native-type": Broken(MLFLOW, ("spec", "replicas"), "one", "schema: Deployment/mlflow"),
    "schema-unknown-kserve-field": Broken(
        SERVICE, ("spec", "predictor", "minReplica"), 1, "'minReplica' was unexpected"
    ),
    "schema-wrong-kserve-type": Broken(SERVICE, ("spec", "predictor", "maxReplicas"), "10", "'10' is not of type"),
    "schema-unknown-runtime-field": Broken(RUNTIME, ("spec", "container"), [], "'container' was unexpected"),
    "schema-unknown-rule-field": Broken(
        "PrometheusRule/review-sentiment", ("spec", "group"), [], "'group' was unexpected"
    ),
    "schema-unknown-monitor-field": Broken(
        "ServiceMonitor/predictor", ("spec", "endpoints", 0, "portt"), "x", "'portt' was unexpected"
    ),
    "schema-unknown-version": Broken(SERVICE, ("apiVersion",), "serving.kserve.io/v1", "no CustomResourceDefinition"),
    "schema-unknown-metric": Broken(SERVICE, ("spec", "predictor", "scaleMetric"), "qps", "'qps' is not one of"),
    "knative-lifecycle": Broken(RUNTIME, (*BOX, "lifecycle"), {"preStop": {"exec": {"command": ["x"]}}}, "knative: "),
    "knative-grace-period": Broken(
        SERVICE, ("spec", "predictor", "terminationGracePeriodSeconds"), 60, "schema: Service/sentiment-predictor"
    ),
    "knative-two-ports": Broken(RUNTIME, (*BOX, "ports", 1), {"containerPort": 8081}, "2 ports; expected one"),
    "knative-port-name": Broken(GRPC, (*BOX, "ports", 0, "name"), "grpc", "port name 'grpc'"),
    "knative-reserved-port": Broken(RUNTIME, (*BOX, "ports", 0, "containerPort"), 8012, "port 8012 is reserved"),
    "knative-exec-readiness": Broken(
        GRPC, (*BOX, "readinessProbe"), {"exec": {"command": ["true"]}}, "readinessProbe is a command"
    ),
    "knative-probe-elsewhere": Broken(
        GRPC, (*BOX, "livenessProbe", "tcpSocket", "port"), 8080, "livenessProbe goes to port 8080"
    ),
    "knative-reserved-variable": Broken(RUNTIME, (*BOX, "env", 0, "name"), "PORT", "PORT is a reserved"),
    "knative-reserved-path": Broken(
        RUNTIME, (*BOX, "volumeMounts", 0, "mountPath"), "/dev", "mountPath /dev is reserved"
    ),
    "knative-host-path": Broken(RUNTIME, ("spec", "volumes", 0, "emptyDir"), MISSING, "is none of"),
    "knative-unmounted-volume": Broken(RUNTIME, (*BOX, "volumeMounts", 0), MISSING, "is not mounted"),
    "knative-pod-security-context": Broken(
        SERVICE, ("spec", "predictor", "securityContext"), {"fsGroup": 1}, "securityContext needs a feature"
    ),
    "kserve-name": Broken(SERVICE, ("metadata", "name"), "1sentiment", "beginning with a letter"),
    "kserve-min-over-max": Broken(SERVICE, ("spec", "predictor", "minReplicas"), 21, "minReplicas 21 is over"),
    "kserve-negative-replicas": Broken(SERVICE, ("spec", "predictor", "minReplicas"), -1, "must not be negative"),
    "kserve-canary": Broken(SERVICE, ("spec", "predictor", "canaryTrafficPercent"), 101, "101 is not within 0 and 100"),
    "kserve-cpu-metric": Broken(SERVICE, ("spec", "predictor", "scaleMetric"), "cpu", "not one of Knative's"),
    "kserve-scale-target": Broken(SERVICE, ("spec", "predictor", "scaleTarget"), 0, "must be 1 at least"),
    "kserve-target-twice": Broken(
        SERVICE, ("spec", "predictor", "annotations"), {"autoscaling.knative.dev/target": "5"}, "one of the two"
    ),
    "kserve-deployment-strategy": Broken(
        SERVICE, ("spec", "predictor", "deploymentStrategy"), {"type": "Recreate"}, "standard deployment mode"
    ),
    "kserve-autoscaler-class": Broken(
        SERVICE, ("metadata", "annotations", "serving.kserve.io/autoscalerClass"), "magic", "'magic' is unknown"
    ),
    "kserve-no-predictor": Broken(SERVICE, ("spec", "predictor", "model"), MISSING, "exactly one predictor"),
    "kserve-model-name": Broken(SERVICE, ("spec", "predictor", "model", "name"), "m", "must not have a name"),
    "kserve-unknown-runtime": Broken(
        SERVICE, ("spec", "predictor", "model", "runtime"), "x", "is not a ServingRuntime"
    ),
    "kserve-protocol": Broken(SERVICE, ("spec", "predictor", "model", "protocolVersion"), "v3", "does not speak"),
    "kserve-format": Broken(SERVICE, ("spec", "predictor", "model", "modelFormat", "name"), "onnx", "not 'onnx'"),
    "kserve-container-name": Broken(RUNTIME, (*BOX, "name"), "server", "must be named kserve-container"),
    "kserve-python-path": Broken(RUNTIME, (*BOX, "env", 0, "name"), "PYTHONPATH", "setting PYTHONPATH"),
    "latest": Broken(RUNTIME, (*BOX, "image"), "review-sentiment-serving:latest", "names no release"),
    "no-tag": Broken(MLFLOW, (*POD, "containers", 0, "image"), "localhost:5000/mlflow", "names no release"),
    "bad-digest": Broken(MLFLOW, (*POD, "containers", 0, "image"), "mlflow@sha256:abc", "malformed digest"),
    "root": Broken(RUNTIME, (*BOX, "securityContext", "runAsNonRoot"), False, "may run as root"),
    "root-user": Broken(RUNTIME, (*BOX, "securityContext", "runAsUser"), 0, "may run as root"),
    "root-group": Broken(RUNTIME, (*BOX, "securityContext", "runAsGroup"), 0, "may run as root"),
    "root-in-init": Broken(JOB, (*POD, "initContainers", 0, "securityContext"), {}, "compile may run as root"),
    "writable-root": Broken(
        MLFLOW, (*POD, "containers", 0, "securityContext", "readOnlyRootFilesystem"), MISSING, "write"
    ),
    "capabilities": Broken(
        RUNTIME, (*BOX, "securityContext", "capabilities"), {"drop": ["ALL"], "add": ["NET_RAW"]}, "keeps capabilities"
    ),
    "escalation": Broken(RUNTIME, (*BOX, "securityContext", "allowPrivilegeEscalation"), True, "may gain privileges"),
    "seccomp": Broken(RUNTIME, (*BOX, "securityContext", "seccompProfile"), MISSING, "no seccomp profile"),
    "memory-limit": Broken(RUNTIME, (*BOX, "resources", "limits", "memory"), MISSING, "no memory limit"),
    "cpu-limit": Broken(MLFLOW, (*POD, "containers", 0, "resources", "limits"), {"memory": "1Gi"}, "no cpu limit"),
    "readiness": Broken(RUNTIME, (*BOX, "readinessProbe"), MISSING, "has no readinessProbe"),
    "liveness": Broken(
        "StatefulSet/redis-cache", (*POD, "containers", 0, "livenessProbe"), MISSING, "no livenessProbe"
    ),
    "lifecycle": Broken(
        MLFLOW, (*POD, "containers", 0, "lifecycle"), {"preStop": {"exec": {"command": ["x"]}}}, "has a lifecycle hook"
    ),
    "grace-period": Broken(MLFLOW, (*POD, "terminationGracePeriodSeconds"), 5, "terminationGracePeriodSeconds is set"),
    "host-network": Broken(MLFLOW, (*POD, "hostNetwork"), True, "hostNetwork is set"),
    "host-path": Broken(MLFLOW, (*POD, "volumes", 0), {"name": "tmp", "hostPath": {"path": "/"}}, "a hostPath volume"),
    "service-account": Broken(MLFLOW, (*POD, "serviceAccountName"), MISSING, "no serviceAccountName"),
    "token": Broken(SERVICE, ("spec", "predictor", "automountServiceAccountToken"), MISSING, "must be false"),
    "account-token": Broken("ServiceAccount/mlflow", ("automountServiceAccountToken",), True, "must be false"),
    "plain-secret": Broken("ConfigMap/sentiment-dashboard", ("kind",), "Secret", "a Secret with its content"),
    "plain-password": Broken(
        RUNTIME, (*BOX, "env", 0), {"name": "MLFLOW_TRACKING_PASSWORD", "value": "x"}, "a secret in plain text"
    ),
    "password-in-url": Broken(RUNTIME, (*BOX, "env", 2, "value"), "http://me:pw@mlflow:5000", "a secret in plain text"),
    "unknown-setting": Broken(RUNTIME, (*BOX, "env", 0, "name"), "MODLE_NAME", "has no setting MODLE_NAME"),
    "open-network": Broken("NetworkPolicy/default-deny", ("spec", "egress"), [{}], "denies everything by default"),
}
