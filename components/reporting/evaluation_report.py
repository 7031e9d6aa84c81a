"""The report of an evaluation, with and without quoted reviews."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from components.reporting.answers import answer_sections, calibration_rows, cascade_rows
from components.reporting.pages import Figure, Section, Verdict, page
from components.reporting.plots import plots
from components.results import files
from components.results.evaluation import Evaluation

TITLE = "Evaluation on the test split"


@dataclass(frozen=True)
class Mistake:
    """A review whose label the model got wrong."""

    row_id: str
    text: str
    label: str
    """The true label."""
    predicted: str
    confidence: float


def write(evaluation: Evaluation, mistakes: Sequence[Mistake], folder: Path) -> None:
    """Write report.html, which quotes reviews, and below `shared` the same without quotes and the plots as PNG."""
    figures = plots(evaluation)
    shared = folder / files.SHARED_FOLDER
    shared.mkdir(parents=True, exist_ok=True)
    for name, figure in figures.items():
        (shared / f"{name}.png").write_bytes(figure.png)
    common = sections(evaluation, figures)
    (shared / files.HTML_REPORT).write_text(page(TITLE, common, verdict(evaluation)), encoding="utf-8")
    local = page(TITLE, [*common, mistakes_section(mistakes)], verdict(evaluation))
    (folder / files.HTML_REPORT).write_text(local, encoding="utf-8")


def verdict(evaluation: Evaluation) -> Verdict:
    """Return macro-F1 beside the baseline's."""
    better = evaluation.macro_f1 > evaluation.baseline_macro_f1
    return Verdict(
        "good" if better else "bad",
        f"Macro-F1 is {evaluation.macro_f1:.3f} (95 % interval {evaluation.interval}); "
        f"the VADER baseline reaches {evaluation.baseline_macro_f1:.3f}.",
    )


def sections(evaluation: Evaluation, figures: Mapping[str, Figure]) -> list[Section]:
    """Return the content that quotes no review."""
    return [
        Section("Summary", _classes_note(evaluation), columns=("measure", "value"), rows=_summary(evaluation)),
        Section("Classes", ["Intervals are 95 % bootstrap intervals over whole reviews."],
                columns=("class", "rows", "precision", "interval", "recall", "interval", "F1", "interval"),
                rows=_class_rows(evaluation)),
        Section("Confusion matrix", figures=[figures["confusion"]]),
        Section("Reliability", figures=[figures["reliability"]]),
        *answer_sections(evaluation.answers, [figures["coverage"]] if "coverage" in figures else ()),
        Section("Slices", columns=("slice", "rows", "macro-F1", "95 % interval"), rows=[
            (name, part.rows, f"{part.macro_f1:.3f}", str(part.interval)) for name, part in evaluation.slices.items()
        ]),
        Section("Behavioural cases", columns=("capability", "passed", "failed cases"), rows=[
            (name, f"{r.passed} of {r.cases}", "; ".join(r.failed) or "none")
            for name, r in evaluation.behaviour.items()
        ]),
    ]  # fmt: skip


def mistakes_section(mistakes: Sequence[Mistake]) -> Section:
    """Return the table of the most confident mistakes, with their texts."""
    note = (
        "This table quotes reviews. It stays with the pipeline's own files: the copy of this report in MLflow ends "
        "before it."
    )
    return Section(
        "Most confident mistakes",
        [note] if mistakes else ["The model made no mistake on the test split."],
        columns=("row", "text", "true label", "predicted label", "confidence"),
        rows=[(m.row_id, m.text, m.label, m.predicted, f"{m.confidence:.2f}") for m in mistakes],
    )


def _classes_note(evaluation: Evaluation) -> list[str]:
    if "neutral" in evaluation.labels:
        return []
    return ["The data has no neutral rows. The model never predicts neutral, and macro-F1 is the mean of two classes."]


def _summary(evaluation: Evaluation) -> list[tuple[str, str]]:
    human = evaluation.human_macro_f1
    return [
        ("macro-F1", f"{evaluation.macro_f1:.3f}"),
        ("95 % interval of macro-F1", str(evaluation.interval)),
        ("macro-F1 of the VADER baseline", f"{evaluation.baseline_macro_f1:.3f}"),
        ("macro-F1 of the average human rater", "not rated" if human is None else f"{human:.3f}"),
        *cascade_rows(evaluation),
        *calibration_rows(evaluation),
        ("expected calibration error before temperature", f"{evaluation.uncalibrated_error:.3f}"),
        ("temperature", f"{evaluation.temperature:.3f}"),
        ("test rows", str(evaluation.rows)),
    ]


def _class_rows(evaluation: Evaluation) -> list[tuple[str | int, ...]]:
    rows: list[tuple[str | int, ...]] = []
    for name, score in evaluation.classes.items():
        bounds = evaluation.class_intervals[name]
        pairs = zip(
            (score.precision, score.recall, score.f1), (bounds.precision, bounds.recall, bounds.f1), strict=True
        )
        cells = [cell for value, interval in pairs for cell in (f"{value:.3f}", str(interval))]
        rows.append((name, score.support, *cells))
    return rows
