#!/usr/bin/env bash
# Ask a served model for one prediction, from outside the cluster, and fail unless it answers with a label and a version.
#   manifests/laptop/predict.sh http://localhost:8080 sentiment.localhost
set -euo pipefail
url=${1:?"usage: predict.sh URL [HOST]"}
host=${2:-}
headers=$(mktemp)
trap 'rm -f "$headers"' EXIT
request='{"inputs": [{"name": "text", "datatype": "BYTES", "shape": [1], "data": ["The zoom is superb."]}]}'

reply=$(curl --silent --show-error --fail-with-body --max-time 60 --retry 10 --retry-all-errors --retry-delay 3 \
  ${host:+--header "Host: $host"} --header 'Content-Type: application/json' --dump-header "$headers" \
  --data "$request" "$url/v2/models/sentiment/infer")
version=$(sed -n 's/^x-model-version: *//Ip' "$headers" | tr -d '\r')
label=$(grep --only-matching --extended-regexp '"(negative|neutral|positive)"' <<< "$reply" | head -1 || true)
if [ -z "$label" ] || [ -z "$version" ]; then
  echo "predict.sh: $url answered without a label or without X-Model-Version: $reply" >&2
  exit 1
fi
echo "model version $version: $label"
