#!/usr/bin/env bash
# Print every Secret that the overlay `local` refers to, with random passwords, for one cluster on a laptop.
#   manifests/laptop/secrets.sh | kubectl apply --filename -
set -euo pipefail
namespace=${1:-review-sentiment}
scratch=$(mktemp --directory)
trap 'rm -rf "$scratch"' EXIT

random() { openssl rand -hex 16; }
secret() {
  local name=$1
  shift
  kubectl create secret generic "$name" --namespace "$namespace" --dry-run=client --output yaml "$@"
  echo ---
}
# Not `... | tee`: the name of each account stays readable, its password is used once.
database=$(random) cache=$(random) limiter=$(random)
uri="postgresql://mlflow:$database@postgres:5432/mlflow"
ca="ssl_ca_certs=/etc/review-sentiment/redis/ca.crt"

printf '[mlflow]\ndefault_permission = READ\ndatabase_uri = %s\n' "$uri" > "$scratch/basic-auth.ini"
openssl req -x509 -newkey rsa:2048 -nodes -days 365 -subj /CN=review-sentiment-redis-ca \
  -keyout "$scratch/ca.key" -out "$scratch/ca.crt" 2> /dev/null
openssl req -newkey rsa:2048 -nodes -subj /CN=redis -keyout "$scratch/tls.key" -out "$scratch/tls.csr" 2> /dev/null
printf 'subjectAltName=DNS:redis-cache,DNS:redis-limiter\n' > "$scratch/names"
openssl x509 -req -in "$scratch/tls.csr" -CA "$scratch/ca.crt" -CAkey "$scratch/ca.key" -CAcreateserial -days 365 \
  -extfile "$scratch/names" -out "$scratch/tls.crt" 2> /dev/null

secret s3 --from-literal=AWS_ACCESS_KEY_ID="$(random)" --from-literal=AWS_SECRET_ACCESS_KEY="$(random)" \
  --from-literal=AWS_DEFAULT_REGION=us-east-1 --from-literal=AWS_ENDPOINT_URL=http://s3:9000
secret mlflow --from-literal=backend-store-uri="$uri" --from-literal=postgres-password="$database" \
  --from-literal=session-key="$(random)" --from-file="$scratch/basic-auth.ini"
secret mlflow-admin --from-literal=username=admin --from-literal=password="$(random)"
secret mlflow-reader --from-literal=username=predictor --from-literal=password="$(random)"
secret mlflow-pipelines --from-literal=username=pipelines --from-literal=password="$(random)"
secret predictor --from-literal=log-hash-key="$(random)"
secret redis-cache --from-literal=auth.conf="requirepass $cache"
secret redis-limiter --from-literal=auth.conf="requirepass $limiter"
secret redis-urls --from-literal=cache="rediss://:$cache@redis-cache:6379/0?$ca" \
  --from-literal=limiter="rediss://:$limiter@redis-limiter:6379/0?$ca"
secret redis-tls --from-file="$scratch/tls.crt" --from-file="$scratch/tls.key" --from-file="$scratch/ca.crt"
