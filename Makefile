# Every target sets up what it needs: a clone and Python 3.11 are enough.  `make` lists the targets.
.DEFAULT_GOAL := help
SHELL := bash
.SHELLFLAGS := -euo pipefail -c

PYTHON ?= python3
VENV ?= .venv
STATE_DIR ?= .local
STATE = $(abspath $(STATE_DIR))
MLFLOW_PORT ?= 5000
EVIDENTLY_PORT ?= 8000
EXTRAS := serving,tracing,training,pipelines,monitoring,dev
BIN := $(VENV)/bin
READY := $(VENV)/.ready
AXE := .local/npm/node_modules/axe-core/axe.min.js
export STATE_DIR
export PYTHONUNBUFFERED := 1
# MLflow and Evidently both read this word.
export DO_NOT_TRACK := true

.PHONY: help setup demo train serve monitor ui test test-system axe lint bench soak fuzz manifests images clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

setup: $(READY) ## .venv with every extra; quick when nothing changed

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c "import sys; sys.exit(sys.version_info[:2] != (3, 11))" || { echo "make setup needs Python 3.11; $(PYTHON) is not: name one, as in  make setup PYTHON=/path/to/python3.11"; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --progress-bar on --constraint constraints.txt --editable '.[$(EXTRAS)]'
	touch $(READY)

demo: setup ## from nothing to a served, checked model; summary in .local/demo/summary.json
	$(BIN)/review-sentiment demo

train: setup ## the training pipeline once, locally (compiled YAML on kfp.local)
	$(BIN)/review-sentiment train

serve: setup ## the predictor in the foreground on the current champion
	$(BIN)/review-sentiment serve

monitor: setup ## the monitoring pipeline once, locally
	$(BIN)/review-sentiment monitor

ui: setup ## MLflow and Evidently in the browser (loopback, ports 5000 and 8000)
	@echo "MLflow http://127.0.0.1:$(MLFLOW_PORT)  Evidently http://127.0.0.1:$(EVIDENTLY_PORT)"
	$(BIN)/mlflow ui --host 127.0.0.1 --port $(MLFLOW_PORT) --backend-store-uri sqlite:///$(STATE)/mlflow.db & \
	mlflow=$$!; trap 'kill $$mlflow' EXIT; \
	$(BIN)/evidently ui --host 127.0.0.1 --port $(EVIDENTLY_PORT) --workspace $(STATE)/evidently

test: setup ## every test that needs Python alone, with branch coverage
	$(BIN)/python -m pytest --cov --cov-report=term:skip-covered

test-system: setup $(AXE) ## the tests that need a browser, PostgreSQL, nginx, Prometheus and Java; names what is missing
	$(BIN)/python -m tests.support.system_programs
	$(BIN)/python -c "import pyspark" 2>/dev/null || $(BIN)/python -m pip install --constraint constraints.txt --editable '.[$(EXTRAS),spark]'
	$(BIN)/python -m pytest tests/system tests/backends

axe: $(AXE) ## axe-core for the browser tests, with npm, into .local/npm

$(AXE): tests/system/package.json tests/system/package-lock.json
	mkdir -p .local/npm
	cp tests/system/package.json tests/system/package-lock.json .local/npm
	npm ci --prefix .local/npm --ignore-scripts --no-audit --no-fund
	touch $(AXE)

lint: setup ## ruff, mypy --strict, actionlint, zizmor, hadolint, the documentation
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/actionlint
	$(BIN)/zizmor --offline --quiet .github
	$(BIN)/hadolint serving/Dockerfile components/Dockerfile
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --site-dir $(STATE)/site

bench: setup ## throughput and latency, side by side with plain KServe; PEERS=1 also beside four other servers
	$(BIN)/python -m tests.benchmarks.bench $(if $(PEERS),--peers)

soak: setup ## 20 minutes of every kind of load: memory and descriptors that the server keeps
	$(BIN)/python -m tests.faults.soak

fuzz: setup ## 100,000 malformed requests over REST, gRPC and raw sockets
	$(BIN)/python -m tests.faults.fuzz

manifests: setup ## compile the pipelines; render and validate every overlay (needs kubectl, Prometheus, nginx, CRD_SCHEMAS)
	$(BIN)/python -m pipelines.run compile
	$(BIN)/python -m pytest tests/manifests

images: setup ## build and smoke-test both images on a Docker engine
	@if [ -z "$${DOCKER_HOST:-}" ] && [ -n "$${DOCKER_ENGINE:-}" ]; then engine=$$("$$DOCKER_ENGINE" start); eval "$$engine"; fi; \
	$(BIN)/python -m tests.images.smoke

clean: ## remove local state; keeps .venv
	rm -rf $(STATE_DIR)
