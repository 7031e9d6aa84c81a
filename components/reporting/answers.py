"""What reports say about confidence: the calibration error, and what an accepted error leaves answered."""

from __future__ import annotations

from collections.abc import Sequence

from components.reporting.pages import Figure, Section
from components.results.evaluation import Evaluation
from components.results.max_error import Answers, LimitResult


def calibration_rows(evaluation: Evaluation) -> list[tuple[str, str]]:
    """Return the rows of a summary about the calibration error."""
    return [
        ("expected calibration error", f"{evaluation.expected_calibration_error:.3f}"),
        ("95 % interval of the expected calibration error", str(evaluation.calibration_interval)),
        ("the same error of exact confidences, by chance alone", f"{evaluation.calibration_floor:.3f}"),
        ("calibration error without chance (root mean square)", f"{evaluation.debiased_calibration_error:.3f}"),
        ("95 % interval of the calibration error without chance", str(evaluation.debiased_calibration_interval)),
    ]


def cascade_rows(evaluation: Evaluation) -> list[tuple[str, str]]:
    """Return the rows of a summary about the stages of a fast model; nothing for a model of one stage."""
    cascade = evaluation.cascade
    if cascade is None:
        return []
    return [
        (f"answered by the first stage, from a confidence of {cascade.confidence:g}", f"{cascade.share:.0%}"),
        ("macro-F1 if the second stage read every text", f"{cascade.second_stage_macro_f1:.3f}"),
    ]


def answer_sections(answers: Answers | None, figures: Sequence[Figure] = ()) -> list[Section]:
    """Return the section about accepted errors; nothing for a model without the table."""
    if answers is None:
        return []
    note = (
        "A request may name the share of wrong answers that it accepts (max_error). A text is answered if its "
        "confidence reaches the one in the table, which was found on "
        f"{answers.calibration_texts} validation texts of {answers.calibration_reviews} reviews: with a probability of "
        "95 %, a further set as large holds no more wrong answers. Where these are too few to show that, nothing is "
        "answered."
    )
    columns = ("max_error", "confidence", "share answered", "wrong answers", "95 % interval")
    rows = [_row(limit) for limit in answers.limits]
    heading = f"Accepted errors on the test split, {answers.texts} texts"
    return [Section(heading, [note], columns=columns, rows=rows, figures=figures)]


def _row(limit: LimitResult) -> tuple[str, ...]:
    confidence = "none suffices" if limit.confidence is None else f"{limit.confidence:.2f}"
    error = "–" if limit.error is None else f"{limit.error:.3f}"
    return f"{limit.max_error:g}", confidence, f"{limit.coverage:.3f}", error, str(limit.interval or "–")
