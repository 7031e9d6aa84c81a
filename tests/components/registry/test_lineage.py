"""Where a model comes from: the revision of the source, the version behind an alias, the retention of versions."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from components.registry import aliases, lineage, promotions, retention
from components.registry.client import connect
from components.registry.explanation import explain
from feature_checks.contract import MODEL_NAME
from pipelines.cli.main import app


def test_without_git_the_stated_revision_is_the_only_tag(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("GIT_REVISION", "0123abc")
    assert lineage.git_tags() == {"mlflow.source.git.commit": "0123abc"}
    monkeypatch.delenv("GIT_REVISION")
    assert lineage.git_revision() == "unknown"


@pytest.fixture
def versions(state: Path) -> None:
    """Version 1 is champion, 2 was rejected, 3 was rejected and awaits review."""
    client = connect()
    client.create_registered_model(MODEL_NAME)
    for tags in ({"gate": "accepted", "compared_with": "none"}, {"gate": "rejected"}, {"gate": "rejected"}):
        client.create_model_version(MODEL_NAME, source=state.as_uri(), tags=tags)
    aliases.promote("1", "auto")
    client.set_registered_model_alias(MODEL_NAME, "challenger", "3")


@pytest.mark.usefixtures("versions")
def test_the_version_behind_a_base_model_is_known() -> None:
    assert lineage.registered_version("models:/review-sentiment@champion") == "1"
    assert lineage.registered_version("models:/review-sentiment/2") == "2"
    assert lineage.registered_version("default") == ""


@pytest.mark.usefixtures("versions")
def test_only_old_rejected_versions_without_an_alias_are_removed() -> None:
    assert retention.rejected_versions(365) == []
    assert retention.rejected_versions(-1) == ["2"]
    retention.remove("2")
    assert retention.rejected_versions(-1) == []
    assert promotions.champions() == ["1"]


@pytest.mark.usefixtures("versions")
def test_prune_keeps_the_attempts_that_the_gate_counts() -> None:
    result = CliRunner().invoke(app, ["prune", "--days", "30"])
    assert result.exit_code == 2
    assert "the gate counts the rejected versions of 365 days" in " ".join(result.output.split())
    assert CliRunner().invoke(app, ["prune"]).output == "no rejected version is older than 365 days\n"


@pytest.mark.usefixtures("versions")
def test_a_version_without_a_stored_decision_is_explained_by_its_tags() -> None:
    connect().set_model_version_tag(MODEL_NAME, "2", "gate_reasons", '["macro-F1 is 0.2"]')
    assert "failed: macro-F1 is 0.2" in explain("2")
    result = CliRunner().invoke(app, ["explain", "99"])
    assert result.exit_code == 1
    assert "99" in result.output
