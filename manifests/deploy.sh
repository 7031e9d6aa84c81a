#!/usr/bin/env bash
# Apply the parts of an overlay in their order, each when the one before it has finished.
#   manifests/deploy.sh local standard
#   manifests/deploy.sh prod knative
set -euo pipefail
cd "$(dirname "$0")"
environment=${1:?"usage: deploy.sh local|staging|prod knative|standard"}
mode=${2:?"usage: deploy.sh local|staging|prod knative|standard"}
overlay=overlays/$environment
[ -d "$overlay/$mode" ] || {
  echo "deploy.sh: no folder $overlay/$mode; expected an environment (local, staging, prod) and a mode (knative, standard)" >&2
  exit 2
}
namespace=$(sed -n 's/^NAMESPACE=//p' "$overlay/environment/parameters.env")

part() { if [ -d "$overlay/$1" ]; then kubectl apply --kustomize "$overlay/$1"; fi; }

# Kubernetes changes no Job's pod template, and a new image is such a change: the Jobs of the last deployment go first.
without() { kubectl --namespace "$namespace" delete job "$@" --ignore-not-found --wait; }

# Wait at most so many seconds until a Job has finished; where it has failed, show its log and stop.
done_in() {
  local job=$1 seconds=$2 states=
  for ((waited = 0; waited < seconds; waited += 5)); do
    states=$(kubectl --namespace "$namespace" get job "$job" \
      --output 'jsonpath={.status.conditions[?(@.status=="True")].type}')
    case $states in
      *Complete*) return ;;
      *Failed*)
        kubectl --namespace "$namespace" logs "job/$job" --all-containers --tail=50 >&2 || true
        echo "deploy.sh: the Job $job in $namespace has failed; nothing after it was applied" >&2
        exit 1
        ;;
    esac
    sleep 5
  done
  echo "deploy.sh: the Job $job in $namespace has not finished after $seconds s; nothing after it was applied" >&2
  exit 1
}

without bucket mlflow-database mlflow-users
part platform
if [ "$environment" = local ]; then
  kubectl --namespace "$namespace" rollout status statefulset/postgres --timeout=300s
  kubectl --namespace "$namespace" rollout status statefulset/s3 --timeout=300s
  done_in bucket 300
fi
done_in mlflow-database 600
kubectl --namespace "$namespace" rollout status deployment/mlflow --timeout=600s
done_in mlflow-users 600
part profile
part kubeflow
part monitoring
without bootstrap monitoring-schedule
part training
# Training the first champion takes a quarter of an hour on two cores; where there is one, this ends at once.
done_in bootstrap 14400
part "$mode"
kubectl --namespace "$namespace" wait inferenceservice --all --for=condition=Ready --timeout=900s
