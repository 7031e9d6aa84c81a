"""The aliases of the registered model: `champion` is served, `challenger` awaits review, `previous` is for rollback.

`champion` moves only from the version that the gate compared the new one with; see `components.registry.promotions`.
"""

from __future__ import annotations

import json
import logging
from typing import Final, Literal

from components.registry import promotions
from components.registry.client import add, connect
from feature_checks.contract import MODEL_NAME

logger = logging.getLogger(__name__)

Alias = Literal["champion", "challenger", "previous"]
PROMOTIONS: Final = ("auto", "manual")
COMPARED_WITH: Final = "compared_with"
"""Tag of a version: the champion that the gate compared it with, `none` where there was none."""
NOBODY: Final = "none"


class PromotionError(ValueError):
    """An alias cannot be moved as requested; the message says why."""


class StaleComparisonError(PromotionError):
    """The champion is another one than the version was compared with, so nothing is known about the exchange."""


def version_of(alias: Alias) -> str | None:
    """Return the version that an alias points to, or None."""
    return promotions.alias_of(alias) or None


def champion() -> str:
    """Return the champion's version. Raises PromotionError when there is none."""
    version = version_of("champion")
    if version is None:
        raise PromotionError("no version has the alias 'champion'; train a model first")
    return version


def promote(version: str, promotion: str) -> str:
    """Make an accepted version the challenger and, with promotion `auto`, the champion; return the alias it got.

    The version stays the challenger if it was compared with another champion than the present one. A step that is run
    again finishes its promotion and does not repeat one that was rolled back. Raises PromotionError for an unknown
    `promotion` and for a rejected version.

    Example: `promote("7", "manual")` returns `"challenger"`.
    """
    if promotion not in PROMOTIONS:
        raise PromotionError(f"promotion is {promotion!r}; expected one of {list(PROMOTIONS)}")
    add(connect().set_registered_model_alias, MODEL_NAME, "challenger", version)
    if promotion == "manual":
        return "challenger"
    try:
        make_champion(version, again=False)
    except StaleComparisonError as refusal:
        logger.warning("%s", refusal)
        return "challenger"
    return "champion"


def make_champion(version: str, *, again: bool = True) -> None:
    """Point `champion` to a version and `previous` to the one it replaces.

    With `again` false, a version that was champion before and was replaced does not become it a second time. Raises
    PromotionError for a version that the gate rejected, and StaleComparisonError for one that was compared with
    another champion.
    """
    tags = connect().get_model_version(MODEL_NAME, version).tags
    if tags.get("gate") != "accepted":
        raise PromotionError(
            f"version {version} has the tag gate={tags.get('gate')!r}; only an accepted version may be champion"
        )
    current = promotions.settle()
    if current == version:
        return
    if not again and version in promotions.champions():
        raise StaleComparisonError(f"version {version} was champion already, and was replaced by version {current}")
    if stale := _stale(version, tags.get(COMPARED_WITH), current):
        raise StaleComparisonError(stale)
    promotions.append("promotion", current, version)
    if promotions.settle() != version:
        raise StaleComparisonError(
            f"version {version} was compared with version {current or NOBODY}, which was replaced by version "
            f"{promotions.settle()} at the same time; run the training pipeline again to compare with that one"
        )


def promotion_outcome(version: str) -> tuple[bool, str]:
    """Return whether a version is the champion, and why it is or is not, as one sentence for people.

    Example: `promotion_outcome("7")` returns `(True, "the gate accepted it")`.
    """
    tags = connect().get_model_version(MODEL_NAME, version).tags
    if tags.get("gate") != "accepted":
        return False, "; ".join(json.loads(tags.get("gate_reasons", "[]"))) or "the gate rejected it"
    current = version_of("champion") or ""
    if current == version:
        return True, "the gate accepted it"
    if stale := _stale(version, tags.get(COMPARED_WITH), current):
        return False, f"the gate accepted it, but {stale}"
    return False, "the gate accepted it; it is the challenger and awaits a person's review"


def rollback(champion: str = "") -> str:
    """Swap `champion` and `previous`; return the version that is champion now.

    If `champion` is given, nothing is done unless that version is still the champion. Raises PromotionError when there
    is no earlier champion, or the champion changed meanwhile.
    """
    current = promotions.settle()
    if champion and champion != current:
        raise PromotionError(
            f"version {champion} is to be rolled back, but the champion is version {current or NOBODY} by now; nothing "
            "was changed"
        )
    moves = promotions.counted(promotions.moves())
    previous = (moves[-1].before if moves else "") or version_of("previous")
    if not previous or previous == current:
        raise PromotionError("no version has the alias 'previous'; there is nothing to roll back to")
    promotions.append("rollback", current, previous)
    if (found := promotions.settle()) != previous:
        raise PromotionError(f"version {found} became champion at the same time; nothing was rolled back")
    return previous


def _stale(version: str, compared_with: str | None, current: str) -> str:
    """Return why the comparison does not hold for the present champion ("" for none), or an empty text."""
    known = compared_with or (NOBODY if not current else "unknown")
    if known == (current or NOBODY):
        return ""
    return (
        f"version {version} was compared with champion {known}, and the champion is {current or NOBODY} now; run the "
        "training pipeline again to compare with that one"
    )
