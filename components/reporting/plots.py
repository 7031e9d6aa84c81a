"""Plots of an evaluation, on white and large enough to be read in the Kubeflow UI and in MLflow."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from components.reporting.pages import Figure
from components.results.evaluation import Evaluation
from components.results.max_error import Answers
from feature_checks.contract import LABELS

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Canvas

_DPI: Final = 160
_CSS_DPI: Final = 100
_DARK, _LIGHT = "#1a2129", "#ffffff"
_LINE: Final = "#1d5bb8"
_QUIET: Final = "#525d6b"


def plots(evaluation: Evaluation) -> dict[str, Figure]:
    """Return the figures of an evaluation by their file names without suffix."""
    found = {"confusion": confusion_matrix(evaluation), "reliability": reliability_diagram(evaluation)}
    return found | ({"coverage": coverage_curve(evaluation.answers)} if evaluation.answers else {})


def confusion_matrix(evaluation: Evaluation) -> Figure:
    """Return the confusion matrix: each cell is coloured by its share of the true class (its row)."""
    canvas, axes = _canvas(6.4, 5.2)
    counts = np.array(evaluation.confusion)
    shares = counts / counts.sum(axis=1, keepdims=True).clip(1)
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for (row, column), count in np.ndenumerate(counts):
        colour = text_colour(list(image.cmap(image.norm(shares[row, column]))))
        axes.text(column, row - 0.09, str(count), ha="center", va="center", fontsize=17, color=colour)
        axes.text(column, row + 0.17, f"{shares[row, column]:.0%}", ha="center", va="center", fontsize=12, color=colour)
    axes.set(xticks=range(3), yticks=range(3), xticklabels=LABELS, yticklabels=LABELS)
    axes.set_xlabel("predicted label")
    axes.set_ylabel("true label")
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    canvas.colorbar(image, ax=axes, label="share of the true label", shrink=0.85).outline.set_visible(False)
    words = "Rows are the true labels, columns the predicted ones; colour and percentage are shares of the row."
    return _figure(canvas, f"Confusion matrix. {words}")


def reliability_diagram(evaluation: Evaluation) -> Figure:
    """Return accuracy over confidence in ten bins, with the number of rows in each bin below."""
    bins = evaluation.reliability
    canvas, axes = _canvas(6.4, 5.2, rows=2, height_ratios=(3, 1))
    accuracy, rows = axes
    accuracy.plot([0, 1], [0, 1], linestyle="--", color=_QUIET, label="perfect calibration")
    accuracy.plot([b.confidence for b in bins], [b.accuracy for b in bins], marker="o", color=_LINE, label="model")
    accuracy.set(xlim=(0.3, 1.02), ylim=(0, 1.02), ylabel="accuracy")
    accuracy.grid(alpha=0.3)
    accuracy.legend(loc="upper left", frameon=False)
    centres = [(np.floor(min(b.confidence, 0.999) * 10) + 0.5) / 10 for b in bins]
    bars = rows.bar(centres, [b.rows for b in bins], width=0.09, color=_LINE)
    rows.bar_label(bars, fontsize=10, padding=2)
    rows.set(xlim=(0.3, 1.02), xlabel="confidence", ylabel="rows")
    rows.margins(y=0.3)
    error = evaluation.expected_calibration_error
    words = f"Points on the dashed line are as often right as they say. The expected calibration error is {error:.3f}."
    return _figure(canvas, f"Reliability diagram, with the number of rows in each bin. {words}")


def coverage_curve(answers: Answers) -> Figure:
    """Return the error among the answered texts over the share of texts that is answered, with the accepted errors."""
    canvas, axes = _canvas(6.4, 4.2)
    axes.plot([p.coverage for p in answers.curve], [p.error for p in answers.curve], color=_LINE, label="any threshold")
    kept = [limit for limit in answers.limits if limit.error is not None]
    axes.plot([k.coverage for k in kept], [k.error for k in kept], "o", color=_LINE, label="thresholds for max_error")
    for limit in kept:
        place = {"xytext": (-6, 8), "textcoords": "offset points", "ha": "right"}
        axes.annotate(f"{limit.max_error:g}", (limit.coverage, limit.error or 0.0), **place)
    axes.set(xlim=(0, 1.02), xlabel="share of the texts that is answered", ylabel="share of the answers that is wrong")
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    axes.legend(loc="upper left", frameon=False)
    words = "Each point has its accepted error beside it; the curve shows what other thresholds would give here."
    return _figure(canvas, f"Error among the answered over coverage, on the test split. {words}")


def text_colour(background: Sequence[float]) -> str:
    """Return the dark or the light text colour, whichever has more contrast (WCAG 2 relative luminance)."""
    red, green, blue = (_linear(channel) for channel in background[:3])
    luminance = 0.2126 * red + 0.7152 * green + 0.0722 * blue
    return _DARK if (luminance + 0.05) ** 2 > 1.05 * 0.064 else _LIGHT


def _linear(channel: float) -> float:
    return channel / 12.92 if channel <= 0.04045 else float(((channel + 0.055) / 1.055) ** 2.4)


def _canvas(width: float, height: float, rows: int = 1, height_ratios: tuple[int, ...] = (1,)) -> tuple[Canvas, Any]:
    from matplotlib.figure import Figure as Canvas

    canvas = Canvas(figsize=(width, height), facecolor="white", layout="constrained")
    axes = canvas.subplots(rows, 1, height_ratios=height_ratios)
    for item in np.ravel(axes):
        item.tick_params(labelsize=12, colors=_DARK)
        item.xaxis.label.set_size(13)
        item.yaxis.label.set_size(13)
    return canvas, axes


def _figure(canvas: Canvas, description: str) -> Figure:
    buffer = io.BytesIO()
    canvas.savefig(buffer, format="png", dpi=_DPI)
    return Figure(buffer.getvalue(), description, width=int(canvas.get_figwidth() * _CSS_DPI))
