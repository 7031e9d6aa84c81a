"""The one figure that a finished step is shown with, read from the outputs that kfp.local keeps."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final


def figure_of(step: str, folder: Path) -> str:
    """Return the figure of a finished step, such as `macro-F1 0.763`; empty for a step that has none.

    `folder` is the step's folder below the run's outputs.

    Example: `figure_of("ingest", run.folder / "ingest")`.
    """
    reader = _READERS.get(step)
    return reader(folder) if reader else ""


def _ingest(folder: Path) -> str:
    return _counted(_metadata(folder).get("rows"), "rows")


def _check(folder: Path) -> str:
    if failures := _json(folder, "failures.json"):
        return f"{_counted(len(failures), 'problems')} that must be mended"
    warnings = _json(folder, "warnings.json")
    return "passed" if not warnings else f"passed with {_counted(len(warnings), 'warnings')}"


def _split(folder: Path) -> str:
    counts = _metadata(folder)
    return ", ".join(f"{name} {counts[name]:,.0f}" for name in ("train", "validation", "test") if name in counts)


def _evaluate(folder: Path) -> str:
    evaluation = _json(folder, "evaluation.json")
    return f"macro-F1 {evaluation['macro_f1']:.3f}, baseline {evaluation['baseline_macro_f1']:.3f}"


def _export(folder: Path) -> str:
    (bundle,) = folder.glob("*/bundle")
    size = sum(path.stat().st_size for path in bundle.rglob("*") if path.is_file())
    return f"bundle of {size / 1e6:.1f} MB"


def _verify(folder: Path) -> str:
    return f"INT8 labels agree in {_json(folder, 'parity.json')['int8']['label_agreement']:.2%}"


def _gate(folder: Path) -> str:
    decision = _json(folder, "decision.json")
    return "accepted" if decision["accepted"] else f"rejected: {'; '.join(decision['reasons'])}"


def _reference_window(folder: Path) -> str:
    return _counted(_metadata(folder).get("rows"), "rows")


def _register(folder: Path) -> str:
    return f"version {_returned(folder)}"


def _promote(folder: Path) -> str:
    return f"now {_returned(folder)}"


def _watch(folder: Path) -> str:
    report = _json(folder, "report.json")
    if report["status"] != "judged":
        return f"not judged: {'; '.join(report['reasons'])}"
    return "drift" if report["drift"] else "no drift"


def _decide(folder: Path) -> str:
    return _returned(folder)


def _executed(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder / "executor_output.json").read_text(encoding="utf-8"))
    return content


def _metadata(folder: Path) -> dict[str, Any]:
    """Return the metadata of all output artifacts together."""
    together: dict[str, Any] = {}
    for output in _executed(folder).get("artifacts", {}).values():
        for artifact in output["artifacts"]:
            together |= artifact.get("metadata", {})
    return together


def _returned(folder: Path) -> str:
    """Return what the step's function returned."""
    return str(_executed(folder)["parameterValues"]["Output"])


def _json(folder: Path, name: str) -> Any:
    """Return the content of the file of that name in any output artifact."""
    (path,) = folder.glob(f"*/{name}")
    return json.loads(path.read_text(encoding="utf-8"))


def _counted(count: float | None, noun: str) -> str:
    if count is None:
        return ""
    return f"{count:,.0f} {noun.removesuffix('s') if count == 1 else noun}"


_READERS: Final[Mapping[str, Callable[[Path], str]]] = {
    "ingest": _ingest,
    "check": _check,
    "split": _split,
    "evaluate": _evaluate,
    "export": _export,
    "verify": _verify,
    "gate": _gate,
    "reference-window": _reference_window,
    "register": _register,
    "promote": _promote,
    "watch": _watch,
    "decide": _decide,
    "choose": _returned,
}
