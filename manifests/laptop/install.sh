#!/usr/bin/env bash
# Install what the deployment mode needs into the current cluster: cert-manager, KServe, and Knative or the Gateway API.
#   manifests/laptop/install.sh standard
#   manifests/laptop/install.sh knative
#   manifests/laptop/install.sh pipelines      # Kubeflow Pipelines for one user; after either mode
set -euo pipefail
cd "$(dirname "$0")"
# shellcheck source=versions.env
source versions.env
mode=${1:?"usage: install.sh standard|knative|pipelines"}
releases=https://github.com

apply() { kubectl apply --server-side --force-conflicts --filename "$1"; }
wait_for() { kubectl --namespace "$1" wait deployment --all --for=condition=Available --timeout=600s; }

common() {
  apply "$releases/cert-manager/cert-manager/releases/download/$CERT_MANAGER/cert-manager.yaml"
  wait_for cert-manager
}

# Its definitions come first, its namespace is in neither file. Of its controllers only the one for InferenceServices is
# waited for: the one for language models needs more than is installed here.
kserve() {
  local config
  kubectl create namespace kserve --dry-run=client --output yaml | kubectl apply --filename -
  apply "$releases/kserve/kserve/releases/download/$KSERVE/kserve-crds.yaml"
  apply "$releases/kserve/kserve/releases/download/$KSERVE/kserve.yaml"
  # Without Istio nothing answers to the host name that KServe publishes by default; the predictor's own is the right one.
  config=$(kubectl --namespace kserve get configmap inferenceservice-config --output 'jsonpath={.data.ingress}')
  kubectl --namespace kserve patch configmap inferenceservice-config --type merge --patch "$(
    python3 -c 'import json, sys
ingress = json.loads(sys.argv[1]) | {"disableIstioVirtualHost": True}
print(json.dumps({"data": {"ingress": json.dumps(ingress)}}))' "$config"
  )"
  kubectl --namespace kserve rollout restart deployment/kserve-controller-manager
  kubectl --namespace kserve rollout status deployment/kserve-controller-manager --timeout=600s
}

case $mode in
  standard)
    common
    apply "$releases/kubernetes-sigs/gateway-api/releases/download/$GATEWAY_API/standard-install.yaml"
    apply "$releases/envoyproxy/gateway/releases/download/$ENVOY_GATEWAY/install.yaml"
    wait_for envoy-gateway-system
    kubectl apply --filename gateway.yaml
    kserve
    ;;
  knative)
    common
    apply "$releases/knative/serving/releases/download/$KNATIVE/serving-crds.yaml"
    apply "$releases/knative/serving/releases/download/$KNATIVE/serving-core.yaml"
    apply "$releases/knative-extensions/net-kourier/releases/download/$KOURIER/kourier.yaml"
    kubectl --namespace knative-serving patch configmap config-network --type merge \
      --patch '{"data": {"ingress-class": "kourier.ingress.networking.knative.dev"}}'
    # By default Kourier passes on what callers say in X-Forwarded-For and does not append the address that it sees.
    kubectl --namespace knative-serving patch configmap config-kourier --type merge \
      --patch '{"data": {"use-remote-address": "true"}}'
    kubectl --namespace kourier-system patch service kourier --type merge \
      --patch '{"spec": {"type": "NodePort", "ports": [{"name": "http2", "port": 80, "targetPort": 8080, "nodePort": 30080}]}}'
    wait_for knative-serving
    kserve
    ;;
  pipelines)
    kubectl apply --kustomize "$releases/kubeflow/pipelines/manifests/kustomize/cluster-scoped-resources?ref=$KFP"
    kubectl wait crd/applications.app.k8s.io --for=condition=Established --timeout=60s
    kubectl apply --kustomize "$releases/kubeflow/pipelines/manifests/kustomize/env/platform-agnostic?ref=$KFP"
    wait_for kubeflow
    ;;
  *)
    echo "install.sh: the mode is '$mode'; expected standard, knative or pipelines" >&2
    exit 2
    ;;
esac
