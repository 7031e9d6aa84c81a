from __future__ import annotations

from pathlib import Path

import pytest

from components.registry import aliases, promotions
from components.registry.aliases import PromotionError, StaleComparisonError
from components.registry.client import connect
from components.registry.promotions import Move
from feature_checks.contract import MODEL_NAME


@pytest.fixture
def versions(state: Path) -> list[str]:
    """Three registered versions in a real MLflow on SQLite: one accepted first, one compared with it, one rejected."""
    client = connect()
    client.create_registered_model(MODEL_NAME)
    made = []
    for verdict, compared_with in (("accepted", "none"), ("accepted", "1"), ("rejected", "1")):
        tags = {"gate": verdict, "compared_with": compared_with}
        version = client.create_model_version(MODEL_NAME, source=state.as_uri(), tags=tags)
        made.append(str(version.version))
    return made


def another(state: Path, compared_with: str) -> str:
    """Register a further accepted version."""
    tags = {"gate": "accepted", "compared_with": compared_with}
    return str(connect().create_model_version(MODEL_NAME, source=state.as_uri(), tags=tags).version)


def test_no_alias_is_no_version(state: Path) -> None:
    assert state.exists()
    assert aliases.version_of("champion") is None


def test_manual_promotion_stops_at_challenger(versions: list[str]) -> None:
    assert aliases.promote(versions[0], "manual") == "challenger"
    assert aliases.version_of("challenger") == versions[0]
    assert aliases.version_of("champion") is None


def test_automatic_promotion_keeps_the_previous_champion_at_hand(versions: list[str]) -> None:
    assert aliases.promote(versions[0], "auto") == "champion"
    assert aliases.promote(versions[1], "auto") == "champion"
    assert aliases.version_of("champion") == versions[1]
    assert aliases.version_of("previous") == versions[0]


def test_rollback_swaps_and_can_be_undone(versions: list[str]) -> None:
    aliases.promote(versions[0], "auto")
    aliases.promote(versions[1], "auto")
    assert aliases.rollback() == versions[0]
    assert (aliases.version_of("champion"), aliases.version_of("previous")) == (versions[0], versions[1])
    assert aliases.rollback() == versions[1]


def test_promoting_the_champion_again_changes_nothing(versions: list[str]) -> None:
    aliases.promote(versions[0], "auto")
    aliases.make_champion(versions[0])
    assert aliases.version_of("previous") is None


def test_a_rejected_version_cannot_become_champion(versions: list[str]) -> None:
    aliases.promote(versions[0], "auto")
    with pytest.raises(PromotionError, match="version 3 has the tag gate='rejected'"):
        aliases.make_champion(versions[2])
    assert aliases.version_of("champion") == versions[0]


def test_the_outcome_of_a_promotion_says_what_the_version_became(versions: list[str]) -> None:
    aliases.promote(versions[0], "auto")
    aliases.promote(versions[1], "manual")
    connect().set_model_version_tag(
        MODEL_NAME, versions[2], "gate_reasons", '["F1 of neutral is 0.1", "macro-F1 is 0.2"]'
    )
    assert [aliases.promotion_outcome(version) for version in versions] == [
        (True, "the gate accepted it"),
        (False, "the gate accepted it; it is the challenger and awaits a person's review"),
        (False, "F1 of neutral is 0.1; macro-F1 is 0.2"),
    ]


def test_rollback_without_a_previous_champion_is_refused(versions: list[str]) -> None:
    aliases.promote(versions[0], "auto")
    with pytest.raises(PromotionError, match="nothing to roll back to"):
        aliases.rollback()


def test_an_unknown_promotion_is_refused_before_an_alias_moves(versions: list[str]) -> None:
    with pytest.raises(PromotionError, match="promotion is 'yes'; expected one of"):
        aliases.promote(versions[0], "yes")
    assert aliases.version_of("challenger") is None


def test_a_version_that_was_compared_with_another_champion_stays_the_challenger(
    versions: list[str], state: Path, caplog: pytest.LogCaptureFixture
) -> None:
    aliases.promote(versions[0], "auto")
    late = another(state, compared_with=versions[0])
    assert aliases.promote(versions[1], "auto") == "champion"
    assert aliases.promote(late, "auto") == "challenger"
    assert aliases.version_of("champion") == versions[1]
    expected = "version 4 was compared with champion 1, and the champion is 2 now; run the training pipeline again"
    assert expected in caplog.text
    promoted, reason = aliases.promotion_outcome(late)
    assert not promoted
    assert expected in reason
    with pytest.raises(StaleComparisonError, match="compared with champion 1"):
        aliases.make_champion(late)


def test_a_version_without_a_known_comparison_replaces_nobody(versions: list[str], state: Path) -> None:
    aliases.promote(versions[0], "auto")
    tags = {"gate": "accepted"}
    unknown = str(connect().create_model_version(MODEL_NAME, source=state.as_uri(), tags=tags).version)
    with pytest.raises(StaleComparisonError, match="compared with champion unknown"):
        aliases.make_champion(unknown)


def test_a_step_that_runs_again_after_a_rollback_promotes_nothing(versions: list[str]) -> None:
    aliases.promote(versions[0], "auto")
    aliases.promote(versions[1], "auto")
    aliases.rollback()
    assert aliases.promote(versions[1], "auto") == "challenger"
    assert aliases.version_of("champion") == versions[0]
    aliases.make_champion(versions[1])  # A person may.
    assert aliases.version_of("champion") == versions[1]


def test_a_late_rollback_names_the_champion_it_is_about(versions: list[str]) -> None:
    aliases.promote(versions[0], "auto")
    aliases.promote(versions[1], "auto")
    with pytest.raises(PromotionError, match="version 1 is to be rolled back, but the champion is version 2 by now"):
        aliases.rollback(versions[0])
    assert aliases.rollback(versions[1]) == versions[0]


def test_an_alias_that_a_person_moved_in_mlflow_is_taken_over(versions: list[str], state: Path) -> None:
    aliases.promote(versions[0], "auto")
    by_hand = another(state, compared_with="none")
    connect().set_registered_model_alias(MODEL_NAME, "champion", by_hand)
    assert promotions.settle() == by_hand
    assert [(move.kind, move.before, move.after) for move in promotions.moves()] == [
        ("promotion", "", versions[0]),
        ("manual", versions[0], by_hand),
    ]
    assert promotions.champions() == [versions[0], by_hand]


def test_moves_count_only_from_the_champion_they_replace() -> None:
    moves = [
        Move(1, "promotion", "", "1", True),
        Move(2, "promotion", "1", "2", True),
        Move(3, "promotion", "1", "3", False),  # at the same time as move 2
        Move(4, "rollback", "2", "1", True),
        Move(5, "rollback", "2", "1", False),  # late
        Move(6, "promotion", "1", "4", True),
    ]
    assert [move.number for move in promotions.counted(moves[::-1])] == [1, 2, 4, 6]
