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
EXTRAS := serving,training,pipelines,monitoring,dev
BIN := $(VENV)/bin
READY := $(VENV)/.ready
export STATE_DIR
export PYTHONUNBUFFERED := 1
# MLflow and Evidently both read this word.
export DO_NOT_TRACK := true

.PHONY: help setup demo train serve monitor ui test lint bench manifests images clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

setup: $(READY) ## .venv with every extra; quick when nothing changed

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c "import sys; sys.exit(sys.version_info[:2] != (3, 11))" || { echo "make setup needs Python 3.11; $(PYTHON) is not: name one, as in  make setup PYTHON=/path/to/python3.11"; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --progress-bar on --constraint constraints.txt --editable '.[$(EXTRAS)]'
	touch $(READY)

demo: setup ## from nothing to a served, checked model; summary in .local/demo/summary.json
	$(BIN)/python -m pipelines.demo

train: setup ## the training pipeline once, locally (compiled YAML on kfp.local)
	$(BIN)/python -m pipelines.run local

serve: setup ## the predictor in the foreground on the current champion
	$(BIN)/python -m serving

monitor: setup ## the monitoring pipeline once, locally
	$(BIN)/python -m pipelines.run local monitoring --param log=$${PREDICTION_LOG:-$(STATE)/predictions} --param history=$(STATE)/drift/history --param labelled=$(STATE)/drift/labelled.parquet --param workspace=$(STATE)/evidently

ui: setup ## MLflow and Evidently in the browser (loopback, ports 5000 and 8000)
	@echo "MLflow http://127.0.0.1:$(MLFLOW_PORT)  Evidently http://127.0.0.1:$(EVIDENTLY_PORT)"
	$(BIN)/mlflow ui --host 127.0.0.1 --port $(MLFLOW_PORT) --backend-store-uri sqlite:///$(STATE)/mlflow.db & \
	mlflow=$$!; trap 'kill $$mlflow' EXIT; \
	$(BIN)/evidently ui --host 127.0.0.1 --port $(EVIDENTLY_PORT) --workspace $(STATE)/evidently

test: setup ## every test but those of make manifests and make images
	$(BIN)/python -m pytest

lint: setup ## ruff, mypy --strict, actionlint, zizmor, hadolint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/actionlint
	$(BIN)/zizmor --offline --quiet .github
	$(BIN)/hadolint serving/Dockerfile components/Dockerfile

bench: setup ## throughput and latency, side by side with plain KServe
	$(BIN)/python tests/benchmarks/bench.py

manifests: setup ## compile the pipelines; render and validate every overlay (needs kubectl, promtool, CRD_SCHEMAS)
	$(BIN)/python -m pipelines.run compile
	$(BIN)/python -m pytest tests/manifests

images: setup ## build and smoke-test both images on a Docker engine
	@if [ -z "$${DOCKER_HOST:-}" ] && [ -n "$${DOCKER_ENGINE:-}" ]; then engine=$$("$$DOCKER_ENGINE" start); eval "$$engine"; fi; \
	$(BIN)/python tests/images/smoke.py

clean: ## remove local state; keeps .venv
	rm -rf $(STATE_DIR)
