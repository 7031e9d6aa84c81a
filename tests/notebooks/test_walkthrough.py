"""The walkthrough, run from its first cell to its last: what it shows is what happens."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

from components.datasets.icwsm2014 import ARCHIVE

NOTEBOOK = Path(__file__).parents[2] / "notebooks" / "walkthrough.ipynb"


@pytest.fixture(scope="module")
def notebook() -> Any:
    return nbformat.read(NOTEBOOK, as_version=4)


def outputs_of(notebook: Any) -> list[Any]:
    return [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]


def test_it_is_kept_without_outputs(notebook: Any) -> None:
    assert outputs_of(notebook) == []
    assert {cell.get("execution_count") for cell in notebook.cells} == {None}


@pytest.mark.timeout(600)
def test_it_trains_serves_sees_drift_and_retrains(
    notebook: Any, data_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STATE_DIR", str(tmp_path))
    (tmp_path / "data").mkdir()
    if (data_cache / ARCHIVE).is_file():
        (tmp_path / "data" / ARCHIVE).symlink_to(data_cache / ARCHIVE)
    NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(NOTEBOOK.parent)}}).execute()

    outputs = outputs_of(notebook)
    shown = [one.data for one in outputs if "data" in one]
    (summary,) = (ast.literal_eval(data["text/plain"]) for data in shown if data["text/plain"].startswith("{'labels'"))
    assert summary["labels"] == ["negative", "positive", "neutral"]
    assert summary["decision_in_german"] == "unsure"
    assert summary["drift"] == {"products": False, "tweets": True}
    assert summary["decision"] == "RETRAIN"
    assert summary["accepted"]["first"]
    assert summary["served_version"] == ("2" if summary["accepted"]["second"] else "1")
    assert (tmp_path / "walkthrough" / "second" / "gate" / "decision.json").is_file()

    assert sum("image/png" in data for data in shown) == 4
    assert any("Evaluation on the test split" in data.get("text/html", "") for data in shown)
    assert (tmp_path / "walkthrough" / "tweets-2" / "report.html").stat().st_size > 1_000_000
