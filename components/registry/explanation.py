"""Why the gate decided about a registered version as it did, in words for people."""

from __future__ import annotations

import json
import shlex
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from components.registry.artifacts import GATE_ARTIFACT
from components.registry.client import connect
from components.results import files
from components.results import gate_decision as decisions
from components.results.gate_decision import GateDecision
from feature_checks.contract import MODEL_NAME


def explain(version: str) -> str:
    """Return which rules of the gate the version met and failed, by how much, and how to train it again.

    Raises MlflowException where the registry has no such version.

    Example: `print(explain("7"))`.
    """
    client = connect()
    known = client.get_model_version(MODEL_NAME, version)
    run = client.get_run(known.run_id) if known.run_id else None
    decision = _decision(known.run_id) if known.run_id else None
    lines = [f"Version {version} was {known.tags.get('gate', 'not judged')} by the gate.", ""]
    lines += _rules(decision) if decision else _reasons(known.tags)
    lines += ["", *_reproduction(version, known.tags, run)]
    return "\n".join(lines)


def _decision(run_id: str) -> GateDecision | None:
    """Return the stored decision; None for a version that was registered without one."""
    client = connect()
    names = {item.path for item in client.list_artifacts(run_id, GATE_ARTIFACT)}
    path = f"{GATE_ARTIFACT}/{files.DECISION}"
    if path not in names:
        return None
    with tempfile.TemporaryDirectory() as folder:
        return decisions.load(Path(client.download_artifacts(run_id, path, folder)).parent)


def _rules(decision: GateDecision) -> Iterator[str]:
    failed = [rule for rule in decision.rules if not rule.passed]
    known = {rule.sentence for rule in failed}
    for rule in failed:
        yield f"failed: {rule.name}: measured {rule.measured:.4f}, limit {rule.needed:.4f}, apart by {rule.gap:.4f}"
        yield f"        {rule.sentence}"
    yield from (f"failed: export: {reason}" for reason in decision.reasons if reason not in known)
    for rule in decision.rules:
        if rule.passed:
            yield f"met:    {rule.name}: measured {rule.measured:.4f}, limit {rule.needed:.4f}"
    evidence = decision.evidence
    yield ""
    yield f"It was compared with champion {decision.compared_with or 'none'} on the test rows {decision.anchor}."
    if evidence.best:
        yield (
            f"The best champion so far was version {evidence.best.version}; this was attempt {evidence.attempt} "
            f"against it, with bounds at {100 * evidence.best.change.level:.4g}% confidence."
        )


def _reasons(tags: Mapping[str, str]) -> Iterator[str]:
    yield from (f"failed: {reason}" for reason in json.loads(tags.get("gate_reasons", "[]")))
    yield "The registry has no stored decision for this version, so the rules that were met are not known."


def _reproduction(version: str, tags: Mapping[str, str], run: Any) -> Iterator[str]:
    yield "To train it again:"
    if run is None:
        yield "  The version has no training run in this registry (it was imported)."
        return
    parameters = run.data.params
    source = run.data.tags.get("data_source", "")
    given = json.loads(run.data.tags.get("source_options", "{}"))
    given |= {name: parameters[key] for name in REPRODUCED if (key := f"train.{name}") in parameters}
    if base := run.data.tags.get("base_model_version"):
        given["base_model"] = f"models:/{MODEL_NAME}/{base}"
    if extra := run.data.tags.get("extra_data", ""):
        given["extra_data"] = extra
    given["promotion"] = "manual"
    words = [*([shlex.quote(source)] if source else []), *(_option(name, value) for name, value in given.items())]
    revision = tags.get("git_revision", "unknown").removesuffix("-dirty")
    yield f"  git checkout {revision}"
    yield " ".join(("  review-sentiment train", *words))
    yield f"  The data must have the digest {tags.get('data_digest', 'unknown')}."
    yield f"  The MLflow run {run.info.run_id} holds the decision (gate/), the evaluation and the data check."
    yield f"  Its model is models:/{MODEL_NAME}/{version}."


def _option(name: str, value: str) -> str:
    return f"--param {shlex.quote(f'{name}={value}')}"


REPRODUCED = ("base_model", "epochs", "learning_rate", "seed", "max_rows", "speed", "distillation_texts")
"""Parameters of the training pipeline that the run has recorded."""
