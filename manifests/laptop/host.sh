#!/usr/bin/env bash
# Print the host name by which the gateway finds the REST service of the overlay `local`.
#   manifests/laptop/host.sh knative
set -euo pipefail
case ${1:?"usage: host.sh knative|standard"} in
  standard) sed -n 's/^HOSTNAME=//p' "$(dirname "$0")/../overlays/local/environment/parameters.env" ;;
  knative)
    url=$(kubectl --namespace review-sentiment get inferenceservice sentiment --output 'jsonpath={.status.url}')
    echo "${url#*://}"
    ;;
  *)
    echo "host.sh: the mode is '$1'; expected knative or standard" >&2
    exit 2
    ;;
esac
