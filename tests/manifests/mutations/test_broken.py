"""Broken copies of prod, in either mode: each must be caught, by the check that is meant for it."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest

from ..conftest import Rendered
from ..render import Document, name_of
from ..rules import cluster_rules, policies
from ..rules.checks import problems
from . import cluster_faults, faults
from .faults import MISSING, Broken

TABLE = faults.TABLE | cluster_faults.TABLE


def changed(documents: list[Document], broken: Broken) -> list[Document]:
    """Return copies of the documents with the change made. Raises LookupError where there is nothing to change."""
    copies = copy.deepcopy(documents)
    (place,) = [one for one in copies if name_of(one).startswith(broken.document) and _exact(one, broken.document)]
    at: Any = place
    for step in broken.path[:-1]:
        at = at[step]
    last: Any = broken.path[-1]
    if broken.value is MISSING:
        del at[last]
    elif isinstance(at, list) and last == len(at):
        at.append(broken.value)
    else:
        at[last] = broken.value
    return copies


def _exact(document: Document, name: str) -> bool:
    # Generated config maps end in a hash.
    return name_of(document) == name or document["kind"] == "ConfigMap"


@pytest.mark.parametrize("name", TABLE)
def test_a_broken_copy_is_caught(name: str, rendered: Rendered) -> None:
    found = problems(changed(rendered(f"prod-{TABLE[name].mode}"), TABLE[name]), [])
    assert any(TABLE[name].complaint in problem for problem in found), found


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda graph: graph["spec"]["nodes"]["root"]["steps"][0].update(weight=80), "their sum must be 100"),
        (lambda graph: graph["spec"]["nodes"].update(first=graph["spec"]["nodes"].pop("root")), "a node named root"),
        (lambda graph: graph["spec"].update(node={}), "'node' was unexpected"),
        (lambda graph: graph["metadata"].update(namespace="review-sentiment-prod"), "pod security level restricted"),
        (lambda graph: graph["metadata"].update(name="other"), "selects no pod"),
    ],
    ids=["weights", "no-root", "unknown-field", "pod-security", "policy-of-another-graph"],
)
def test_a_broken_graph_is_caught(change: Callable[[Document], Any], complaint: str, rendered: Rendered) -> None:
    documents = copy.deepcopy(rendered("canary/router"))
    change(next(one for one in documents if one["kind"] == "InferenceGraph"))
    found = problems(documents, rendered("prod-knative"))
    assert any(complaint in problem for problem in found), found


def test_a_router_that_may_not_ask_for_names_is_caught(rendered: Rendered) -> None:
    documents = copy.deepcopy(rendered("canary/router"))
    del next(one for one in documents if one["kind"] == "NetworkPolicy")["spec"]["egress"][1]
    found = problems(documents, rendered("prod-knative"))
    assert any("may not ask the cluster's DNS" in problem for problem in found), found


def test_every_planted_fault_is_named_once() -> None:
    assert not faults.TABLE.keys() & cluster_faults.TABLE.keys()


def test_parts_that_are_applied_together_are_caught(rendered: Rendered) -> None:
    found = list(cluster_rules.order_problems(rendered("prod-knative")))
    assert any("InferenceService/sentiment is applied together with Deployment/mlflow" in one for one in found)
    assert any("Job/bootstrap is applied together" in one for one in found)


@pytest.mark.parametrize(
    "image", ["review-sentiment-components", "review-sentiment-components:latest", "python:3.11", "x@sha256:1"]
)
def test_a_broken_pipeline_is_caught(image: str) -> None:
    document = {"deploymentSpec": {"executors": {"exec-train": {"container": {"image": image}}}}}
    assert list(policies.pipeline_problems(document)) != []
