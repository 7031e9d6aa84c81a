"""Names of the files and folders that steps write for later steps and for people."""

from __future__ import annotations

from typing import Final

HTML_REPORT: Final = "report.html"
"""The page for people in the folder of a step."""
SHARED_FOLDER: Final = "shared"
"""Below a step's folder: pages and plots that quote no review and are logged to MLflow."""

DATA_WARNINGS: Final = "warnings.json"
DATA_FAILURES: Final = "failures.json"
EVALUATION: Final = "evaluation.json"
TEST_LOGITS: Final = "test_logits.npy"
DOCUMENTS: Final = "documents.json"
ANSWERS: Final = "answers.json"
"""What an accepted error leaves answered."""
PARITY: Final = "parity.json"
INT8_PROBABILITIES: Final = "int8_test_probabilities.npy"
DECISION: Final = "decision.json"
DECISION_REPORT: Final = "decision.md"
BUNDLE_FOLDER: Final = "bundle"
FP32_FOLDER: Final = "fp32"
REFERENCE_WINDOW: Final = "reference.parquet"
"""The window of predictions that later windows are compared with."""
