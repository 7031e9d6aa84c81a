"""Which confidence an answer needs so that at most a given share of the answers is wrong.

Training finds the confidences (`components/evaluation/max_error.py`) and stores them in the bundle as a table. The
server only looks them up.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from feature_checks.bundle import MAX_ERROR, BundleError

LIMITS: Final = tuple(percent / 100 for percent in range(1, 51))
"""The accepted errors that have an entry: 0.01 to 0.50."""


@dataclass(frozen=True)
class MaxErrors:
    """The table of a bundle.

    Example: `load(folder).confidence_for(0.1)` is the confidence from which on a text is answered, or None.
    """

    limits: Sequence[float]
    """The accepted errors, in ascending order."""
    confidences: Sequence[float | None]
    """For each, the confidence from which on a text is answered; None if no text may be answered."""
    level: float
    """The probability with which each entry keeps its limit."""
    reviews: int
    """The validation reviews that the table was calibrated on."""
    texts: int
    """Their texts."""

    def confidence_for(self, max_error: float) -> float | None:
        """Return the confidence from which on a text is answered; None if no text may be answered.

        Between two entries, that of the smaller limit holds.
        """
        fitting = [index for index, limit in enumerate(self.limits) if limit <= max_error]
        return self.confidences[fitting[-1]] if fitting else None

    def reason(self, max_error: float, confidence: float) -> str:
        """Return why a text with this confidence is not answered; empty if it is."""
        needed = self.confidence_for(max_error)
        if needed is None:
            return (
                f"the {self.reviews} validation reviews of this model version are too few, or hold too many errors, to "
                f"show for any confidence that at most {max_error:g} of the answers are wrong"
            )
        if confidence >= needed:
            return ""
        return f"the confidence is {confidence:.3f}; a max_error of {max_error:g} needs at least {needed:.2f}"


def save(table: MaxErrors, folder: Path) -> None:
    """Write the table into a bundle folder that is not sealed yet."""
    (folder / MAX_ERROR).write_text(json.dumps(asdict(table), indent=1) + "\n", encoding="utf-8")


def load(folder: Path) -> MaxErrors | None:
    """Return the table of a bundle folder; None for a bundle that was made without one.

    Raises BundleError, naming the file and the difference, if the file holds anything else than `save` writes.
    """
    path = folder / MAX_ERROR
    if not path.is_file():
        return None
    try:
        table = MaxErrors(**json.loads(path.read_text(encoding="utf-8")))
        ascending = list(table.limits) == sorted(table.limits)
        shares = all(0 <= value <= 1 for value in (*table.limits, *table.confidences, table.level) if value is not None)
    except (TypeError, ValueError) as error:
        raise BundleError(f"{path}: not a table of accepted errors ({error})") from error
    if not table.limits or len(table.limits) != len(table.confidences):
        raise BundleError(
            f"{path}: found {len(table.limits)} limits and {len(table.confidences)} confidences; expected as many, and "
            "at least one"
        )
    if not (ascending and shares):
        raise BundleError(f"{path}: expected limits in ascending order, and limits and confidences from 0 to 1")
    return table
