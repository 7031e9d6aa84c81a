"""The model card: what a person should know before promoting the model."""

from __future__ import annotations

from collections.abc import Sequence

from components.reporting.answers import answer_sections, calibration_rows, cascade_rows
from components.reporting.pages import Section, markdown
from components.results.documents import Documents
from components.results.evaluation import Evaluation
from components.results.max_error import Answers


def model_card(
    evaluation: Evaluation,
    data_warnings: Sequence[str],
    documents: Documents | None = None,
    answers: Answers | None = None,
    *,
    layers: Sequence[int],
    data_digest: str,
    git_revision: str,
) -> str:
    """Return the card as Markdown. `layers`: those of each stage; 0 where the configuration does not say."""
    human = "not rated" if evaluation.human_macro_f1 is None else f"{evaluation.human_macro_f1:.3f}"
    behaviour = [(name, f"{result.passed} of {result.cases}") for name, result in evaluation.behaviour.items()]
    summary = [
        ("macro-F1", f"{evaluation.macro_f1:.3f}"),
        ("95 % interval of macro-F1", str(evaluation.interval)),
        ("macro-F1 of the VADER baseline", f"{evaluation.baseline_macro_f1:.3f}"),
        ("macro-F1 of the average human rater", human),
        *cascade_rows(evaluation),
        *calibration_rows(evaluation),
        ("transformer layers", ", then ".join(str(number or "unknown") for number in layers)),
    ]
    return markdown("Review sentiment", [
        Section("Intended use", _intended_use(evaluation.labels)),
        Section(f"Test split, {evaluation.rows} rows", columns=("measure", "value"), rows=summary),
        *answer_sections(answers),
        *document_sections(documents),
        Section("Behavioural cases", columns=("capability", "passed"), rows=behaviour),
        Section("Data", [f"The digest of the data is {data_digest}.",
                         *(data_warnings or ["The data check gave no warnings."])]),
        Section("Source", [f"The model was trained at git revision {git_revision}."]),
    ])  # fmt: skip


def document_sections(documents: Documents | None) -> list[Section]:
    """Return the section about whole reviews; nothing for data without them."""
    if documents is None:
        return []
    note = (
        f"{documents.long} of the {documents.reviews} reviews are longer than the model reads at once; only these "
        "differ. The human label of a review is that of the mean of its sentences' ratings: nobody rated reviews as a "
        "whole. "
        f"Reading in full changes macro-F1 against cutting with a 95 % interval of {documents.over_cut}, and against "
        f"averaging with one of {documents.over_averaged}."
    )
    methods = (("read in full", documents.read), ("cut", documents.cut), ("averaged", documents.averaged))
    rows = [(name, f"{method.macro_f1:.3f}", f"{method.correlation:.3f}") for name, method in methods]
    columns = ("long reviews are", "macro-F1", "rank correlation with the human rating")
    return [Section(f"Whole reviews of the test split, {documents.reviews}", [note], columns=columns, rows=rows)]


def _intended_use(labels: Sequence[str]) -> list[str]:
    paragraphs = [
        "The model scores one customer review or sentence, in English, as negative, neutral or positive, with a "
        "confidence.",
        "A text that is longer than the model reads at once is read in windows of whole sentences. The model is not "
        "meant for sarcasm, other languages, or domains other than that of the training data.",
    ]
    if "neutral" not in labels:
        paragraphs.append(
            "The training data had no neutral rows. This model never predicts neutral: it labels every review, also "
            "a factual one, as negative or positive. Macro-F1 is the mean of these two classes."
        )
    return paragraphs
