"""The model card: what a person should know before promoting the model."""

from __future__ import annotations

from collections.abc import Sequence

from components.evaluate import Evaluation
from components.report import Section, markdown


def model_card(evaluation: Evaluation, data_warnings: Sequence[str], *, data_digest: str, git_revision: str) -> str:
    """Return the card as Markdown."""
    human = "not rated" if evaluation.human_macro_f1 is None else f"{evaluation.human_macro_f1:.3f}"
    behaviour = [(name, f"{result.passed}/{result.cases}") for name, result in evaluation.behaviour.items()]
    summary = [
        ("macro-F1", f"{evaluation.macro_f1:.3f}"),
        ("VADER baseline", f"{evaluation.baseline_macro_f1:.3f}"),
        ("average human rater", human),
        ("expected calibration error", f"{evaluation.expected_calibration_error:.3f}"),
    ]
    intended = "Scores one customer review or sentence, in English, as negative, neutral or positive with a confidence."
    limits = "Text beyond the model's maximum length is not read. Sarcasm, other languages and other domains than the"
    return markdown("Review sentiment", [
        Section("Intended use", [intended, f"{limits} training data's are not covered."]),
        Section(f"Test split, {evaluation.rows} rows", columns=("measure", "value"), rows=summary),
        Section("Behavioural cases", columns=("capability", "passed"), rows=behaviour),
        Section("Data", [f"Digest {data_digest}.", *(data_warnings or ["The data check gave no warnings."])]),
        Section("Made by", [f"Git revision {git_revision}."]),
    ])  # fmt: skip
