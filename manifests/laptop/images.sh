#!/usr/bin/env bash
# Build both of our images and load them into kind's node. The node pulls the other images of the overlay `local` itself.
#   manifests/laptop/images.sh
set -euo pipefail
cd "$(dirname "$0")/../.."
for role in serving components; do
  docker build --file "$role/Dockerfile" --build-arg PIP_EXTRA_INDEX_URL --tag "kind.local/review-sentiment-$role:0.1.0" .
  kind load docker-image --name review-sentiment "kind.local/review-sentiment-$role:0.1.0"
done
