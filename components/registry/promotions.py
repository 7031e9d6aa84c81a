"""The ledger of promotions: every move of the alias `champion`, in an order that all promoters agree on.

MLflow moves an alias without looking at where it points, so two promoters could each replace the same champion. The
ledger decides instead. It is a registered model of its own, whose versions are moves: MLflow gives version numbers one
after the other, also to clients that ask at the same time. A move says which champion it replaces. Read in order, a
move counts only if that version is the champion then; every reader comes to the same result. The alias follows the
ledger, so that a promoter that is killed between the two is finished by the next one.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from components.registry.client import add, connect
from feature_checks.contract import MODEL_NAME

LEDGER: Final = f"{MODEL_NAME}-promotions"
MANUAL_SECONDS: Final = 2.0
"""An alias that differs from the ledger for so long was moved by a person in MLflow, and the ledger follows it."""

Kind = Literal["promotion", "rollback", "manual"]


@dataclass(frozen=True)
class Move:
    """One entry of the ledger."""

    number: int
    kind: Kind
    before: str
    """The champion that the move replaces; "" for none."""
    after: str
    """The version that becomes champion."""
    applied: bool
    """Whether the alias was moved."""


def counted(moves: Sequence[Move]) -> list[Move]:
    """Return the moves that count, in order: those whose `before` was the champion when it was their turn.

    Example: of two promotions that both replace version 3, only the first counts.
    """
    found: list[Move] = []
    for move in sorted(moves, key=lambda move: move.number):
        if move.before == (found[-1].after if found else ""):
            found.append(move)
    return found


def champions() -> list[str]:
    """Return every version that is or was champion, in the order in which they became it."""
    settle()
    return list(dict.fromkeys(move.after for move in counted(moves()) if move.after))


def moves() -> list[Move]:
    """Return the entries of the ledger, oldest first."""
    client = connect()
    found = client.search_model_versions(f"name='{LEDGER}'", max_results=1000)
    return sorted((_move(version) for version in found), key=lambda move: move.number)


def append(kind: Kind, before: str, after: str) -> Move:
    """Write a move to the ledger and return it; whether it counts is seen by reading the ledger."""
    client = connect()
    _ensure_ledger(client)
    tags = {"kind": kind, "before": before, "after": after}
    source, words = f"models:/{MODEL_NAME}/{after or before}", f"{kind}: {before or 'none'} → {after or 'none'}"
    return _move(client.create_model_version(LEDGER, source=source, tags=tags, description=words))


def settle() -> str:
    """Bring the alias to where the ledger says, and return the champion's version, "" for none.

    Finishes what a killed promoter left, and takes over an alias that a person has moved in MLflow.
    """
    deadline, moved = time.monotonic() + MANUAL_SECONDS, False
    while True:
        known = counted(moves())
        state, alias = (known[-1].after if known else ""), alias_of("champion")
        if alias == state:
            if known and not known[-1].applied:
                _mark_applied(known[-1])
            return state
        # After a move of our own the alias may have been set behind a newer move of another promoter.
        if known and (moved or not known[-1].applied):
            _apply(known[-1])
            moved = True
        elif time.monotonic() > deadline or not known:
            append("manual", state, alias)
        else:
            time.sleep(MANUAL_SECONDS / 4)


def alias_of(alias: str) -> str:
    """Return the version that an alias points to; "" where there is none."""
    from mlflow.exceptions import MlflowException

    try:
        return str(connect().get_model_version_by_alias(MODEL_NAME, alias).version)
    except MlflowException as error:
        if error.error_code in {"RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"}:
            return ""
        raise


def _apply(last: Move) -> None:
    """Set the aliases to the state after the last move, and mark it as applied."""
    client = connect()
    if last.before:
        add(client.set_registered_model_alias, MODEL_NAME, "previous", last.before)
    if last.after:
        add(client.set_registered_model_alias, MODEL_NAME, "champion", last.after)
    else:
        client.delete_registered_model_alias(MODEL_NAME, "champion")
    _mark_applied(last)


def _mark_applied(move: Move) -> None:
    connect().set_model_version_tag(LEDGER, str(move.number), "applied", "true")


def _move(version: Any) -> Move:
    tags = version.tags
    return Move(
        int(version.version), tags["kind"], tags.get("before", ""), tags.get("after", ""), tags.get("applied") == "true"
    )


def _ensure_ledger(client: Any) -> None:
    from mlflow.exceptions import MlflowException

    try:
        client.create_registered_model(LEDGER, description="The moves of the alias champion; written by promotions.")
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
