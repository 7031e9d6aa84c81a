"""Faults that no admission check finds: a controller, a gateway or the network acts on them after the apply."""

from __future__ import annotations

from .faults import BOX, JOB, MISSING, MLFLOW, POD, RUNTIME, SERVICE, Broken

STORAGE, PROFILE = "NetworkPolicy/object-storage", "RoleBinding/review-sentiment-pipelines"
RULES, PIPELINES_API = (
    "PrometheusRule/review-sentiment",
    "NetworkPolicy/review-sentiment-prod-ml-pipeline-from-schedule",
)
ALERTMANAGER = "NetworkPolicy/review-sentiment-prod-alertmanager-from-pipelines"
PROXIES = 8
"""Place of TRUSTED_PROXIES among the predictor's variables."""

TABLE = {
    "cold-start": Broken(SERVICE, ("spec", "predictor", "minReplicas"), 0, "wait for a cold start"),
    "short-timeout": Broken(SERVICE, ("spec", "predictor", "timeout"), 60, "queue-proxy's quiet period"),
    "short-grace-period": Broken(
        SERVICE, ("spec", "predictor", "terminationGracePeriodSeconds"), 30, "grace and drain need", "standard"
    ),
    "static-canary": Broken(SERVICE, ("spec", "predictor", "canaryTrafficPercent"), 10, "rolls back to the old one"),
    "local-image": Broken(RUNTIME, (*BOX, "image"), "localhost/serving:0.1.0", "in a registry it cannot reach"),
    "one-user-behind-knative": Broken(
        RUNTIME, (*BOX, "env", PROXIES, "value"), "loopback", "is the one user 10.244.2.9"
    ),
    "one-user-behind-the-gateway": Broken(
        RUNTIME, (*BOX, "env", PROXIES, "value"), "loopback", "is the one user 10.244.1.5", "standard"
    ),
    "parameter-left": Broken(RUNTIME, (*BOX, "env", PROXIES - 1, "value"), "PARAMETER", "parameters.env or its"),
    "monitor-without-release": Broken("ServiceMonitor/predictor", ("metadata", "labels"), {}, "kube-prometheus-stack"),
    "rules-without-release": Broken(RULES, ("metadata", "labels", "release"), "", "kube-prometheus-stack ignores"),
    "alert-by-namespace": Broken(
        RULES,
        ("spec", "groups", 1, "rules", 0, "expr"),
        "max by (namespace) (sentiment_ready) == 0",
        "hides another that is not",
    ),
    "alert-absent-anywhere": Broken(
        RULES,
        ("spec", "groups", 1, "rules", 2, "expr"),
        "absent(sentiment_ready)",
        "absent() without a namespace",
    ),
    "schedule-without-namespace": Broken(JOB, (*POD, "containers", 0, "args", 2), "--x=y", "no --namespace="),
    "schedule-of-the-same-name": Broken(JOB, (*POD, "containers", 0, "args", 1), "--name=m", "recurring run"),
    "schedule-without-source": Broken(JOB, (*POD, "containers", 0, "args", 4), "--x=y", "the demo's reviews"),
    "schedule-without-rights": Broken(PROFILE, ("metadata", "namespace"), "elsewhere", "no RoleBinding there"),
    "pod-default-outside-the-profile": Broken(
        "PodDefault/review-sentiment", ("metadata", "namespace"), "review-sentiment-prod", "no PodDefault there"
    ),
    "steps-shut-out-of-mlflow": Broken(
        "NetworkPolicy/mlflow", ("spec", "ingress", 0, "from", 1), MISSING, "reach mlflow"
    ),
    "steps-shut-out-of-alertmanager": Broken(
        ALERTMANAGER, ("spec", "podSelector", "matchLabels"), {"a": "b"}, "reach alertmanager"
    ),
    "no-node-local-dns": Broken("NetworkPolicy/dns", ("spec", "egress", 0, "to", 1), MISSING, "NodeLocal DNS"),
    "no-pod-identity": Broken(STORAGE, ("spec", "egress", 2, "to", 1), MISSING, "EKS Pod Identity"),
    "no-metadata": Broken(STORAGE, ("spec", "egress", 2, "to", 0), MISSING, "the metadata service"),
    "no-interface-end-points": Broken(STORAGE, ("spec", "egress", 1), MISSING, "interface end points"),
    "standard-wrong-port": Broken(
        "GRPCRoute/sentiment", ("spec", "rules", 0, "backendRefs", 0, "port"), 8080, "no Service has", "standard"
    ),
    "standard-lost-backend": Broken(
        "HTTPRoute/sentiment", ("spec", "rules", 0, "backendRefs", 0, "name"), "x", "no Service has x:80", "standard"
    ),
    "standard-one-port": Broken(
        RUNTIME, (*BOX, "ports", 1), MISSING, "no Service has sentiment-predictor:8081", "standard"
    ),
    "standard-budget": Broken(
        "PodDisruptionBudget/predictor",
        ("spec", "selector", "matchLabels"),
        {"a": "b"},
        "selects no pod",
        "standard",
    ),
    "standard-spread": Broken(
        SERVICE, ("spec", "predictor", "topologySpreadConstraints"), MISSING, "all lie on one node", "standard"
    ),
    "standard-scaler": Broken(
        SERVICE,
        ("metadata", "annotations", "serving.kserve.io/autoscalerClass"),
        "hpa",
        "needs the autoscalerClass",
        "standard",
    ),
    "standard-knative-metric": Broken(
        SERVICE, ("spec", "predictor", "scaleMetric"), "concurrency", "is Knative's; in Standard", "standard"
    ),
    "standard-average-value": Broken(
        SERVICE,
        ("spec", "predictor", "autoScaling", "metrics", 0, "external", "target"),
        {"type": "AverageValue", "averageValue": "4"},
        "needs target.value",
        "standard",
    ),
    "standard-unknown-route-field": Broken(
        "HTTPRoute/sentiment", ("spec", "hostname"), "x", "'hostname' was unexpected", "standard"
    ),
    "standard-one-name-for-two-routes": Broken(
        "GRPCRoute/sentiment",
        ("spec", "hostnames", 0),
        "sentiment.prod.example.com",
        "with HTTPRoute/sentiment: one is not accepted",
        "standard",
    ),
    "knative-budget": Broken(
        "PodDisruptionBudget/predictor-grpc", ("spec", "selector", "matchLabels"), {"a": "b"}, "selects no pod"
    ),
    "service-without-pods": Broken("Service/evidently", ("spec", "selector"), {"a": "b"}, "selects no pod"),
    "service-of-another-port": Broken(
        "Service/mlflow", ("spec", "ports", 0, "targetPort"), "web", "targetPort 'web' is no port of its pods"
    ),
    "policy-without-pods": Broken(
        "NetworkPolicy/mlflow", ("spec", "podSelector", "matchLabels"), {"a": "b"}, "selects no pod"
    ),
    "policy-of-no-peer": Broken(
        "NetworkPolicy/predictor",
        ("spec", "egress", 0, "to", 0, "podSelector", "matchLabels"),
        {"a": "b"},
        "the peer {'matchLabels': {'a': 'b'}} selects no pod",
    ),
    "monitor-without-a-service": Broken(
        "ServiceMonitor/queue-proxy", ("spec", "endpoints", 0, "port"), "web", "has a port 'web'"
    ),
    "queue-proxy-unseen": Broken(
        "ServiceMonitor/queue-proxy",
        ("spec", "selector", "matchLabels", "app.kubernetes.io/component"),
        "predictor-metrics",
        "no ServiceMonitor selects Knative's queue-proxy-metrics",
    ),
    "activator-unseen": Broken(
        "ServiceMonitor/knative-activator",
        ("spec", "selector", "matchLabels", "app"),
        "x",
        "no ServiceMonitor selects Knative's activator",
    ),
    "schedule-of-another-account": Broken(
        PROFILE, ("subjects", 0, "namespace"), "review-sentiment-staging", "may not create, delete, list jobs"
    ),
    "schedule-that-may-not-replace": Broken(
        "Role/review-sentiment-pipelines",
        ("rules", 1, "verbs"),
        ["list", "create"],
        "may not delete jobs in reviews-prod",
    ),
    "schedule-shut-out-of-kubeflow": Broken(
        PIPELINES_API,
        ("spec", "ingress", 0, "from", 0, "namespaceSelector", "matchLabels"),
        {"a": "b"},
        "reach ml-pipeline",
    ),
    "kubeflow-shut-out-of-itself": Broken(
        PIPELINES_API, ("spec", "ingress", 1, "from", 0), MISSING, "shuts out the other pods of kubeflow"
    ),
    "prometheus-shut-out-of-alertmanager": Broken(
        ALERTMANAGER, ("spec", "ingress", 1), MISSING, "shuts out the other pods of monitoring"
    ),
    "no-label-for-storage": Broken(
        MLFLOW,
        ("spec", "template", "metadata", "labels", "review-sentiment/object-storage"),
        "false",
        "reaches no S3",
    ),
    "predictor-without-storage": Broken(
        SERVICE,
        ("spec", "predictor", "labels", "review-sentiment/object-storage"),
        MISSING,
        "reaches no S3",
        "standard",
    ),
    "no-cluster-dns": Broken("NetworkPolicy/dns", ("spec", "egress", 0, "to", 0), MISSING, "ask the cluster's DNS"),
    "job-that-cannot-change": Broken(
        JOB, ("metadata", "annotations"), {}, "Argo CD cannot apply the next release's image"
    ),
    "job-that-stays": Broken(JOB, ("spec", "ttlSecondsAfterFinished"), MISSING, "the finished Job stays"),
}
