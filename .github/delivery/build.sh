#!/usr/bin/env bash
# Build one image for this machine's architecture and push it by digest alone; write REPOSITORY@DIGEST into a file.
#   .github/delivery/build.sh serving digest.txt
# GITHUB_REPOSITORY_OWNER, GITHUB_REF_NAME (v1.2.3) and GITHUB_SHA are those of GitHub Actions.
set -euo pipefail
role=${1:?"usage: build.sh serving|components FILE"}
output=${2:?"usage: build.sh serving|components FILE"}
image="ghcr.io/${GITHUB_REPOSITORY_OWNER,,}/review-sentiment-$role"

docker pull --quiet python:3.11-slim
base=$(docker inspect --format '{{index .RepoDigests 0}}' python:3.11-slim)
metadata=$(mktemp)
trap 'rm -f "$metadata"' EXIT
docker buildx create --use --driver docker-container
docker buildx build --file "$role/Dockerfile" --metadata-file "$metadata" --provenance mode=max \
  --output "type=image,name=$image,push=true,push-by-digest=true,name-canonical=true" \
  --build-arg "REQUIREMENTS=$role/requirements.txt" --build-arg PIP_EXTRA_INDEX_URL --build-arg "BASE_IMAGE=$base" \
  --build-arg "VERSION=${GITHUB_REF_NAME#v}" --build-arg "REVISION=$GITHUB_SHA" .
digest=$(python3 -c "import json, sys; print(json.load(open(sys.argv[1]))['containerimage.digest'])" "$metadata")
[[ $digest =~ ^sha256:[0-9a-f]{64}$ ]] || {
  echo "build.sh: the digest of $image is '$digest'; expected sha256: and 64 hexadecimal digits" >&2
  exit 1
}
echo "$image@$digest" > "$output"
