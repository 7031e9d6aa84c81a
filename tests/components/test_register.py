from __future__ import annotations

from pathlib import Path

import pytest

from components import register, tracking
from components.register import PromotionError
from feature_checks.contract import MODEL_NAME


@pytest.fixture
def versions(state: Path) -> list[str]:
    """Three registered versions in a real MLflow on SQLite: two accepted, one rejected."""
    client = tracking.connect()
    client.create_registered_model(MODEL_NAME)
    made = []
    for verdict in ("accepted", "accepted", "rejected"):
        version = client.create_model_version(MODEL_NAME, source=state.as_uri(), tags={"gate": verdict})
        made.append(str(version.version))
    return made


def test_no_alias_is_no_version(state: Path) -> None:
    assert state.exists()
    assert register.version_of("champion") is None


def test_manual_promotion_stops_at_challenger(versions: list[str]) -> None:
    assert register.promote(versions[0], "manual") == "challenger"
    assert register.version_of("challenger") == versions[0]
    assert register.version_of("champion") is None


def test_automatic_promotion_keeps_the_previous_champion_at_hand(versions: list[str]) -> None:
    assert register.promote(versions[0], "auto") == "champion"
    assert register.promote(versions[1], "auto") == "champion"
    assert register.version_of("champion") == versions[1]
    assert register.version_of("previous") == versions[0]


def test_rollback_swaps_and_can_be_undone(versions: list[str]) -> None:
    register.promote(versions[0], "auto")
    register.promote(versions[1], "auto")
    assert register.rollback() == versions[0]
    assert (register.version_of("champion"), register.version_of("previous")) == (versions[0], versions[1])
    assert register.rollback() == versions[1]


def test_promoting_the_champion_again_changes_nothing(versions: list[str]) -> None:
    register.promote(versions[0], "auto")
    register.make_champion(versions[0])
    assert register.version_of("previous") is None


def test_a_rejected_version_cannot_become_champion(versions: list[str]) -> None:
    register.promote(versions[0], "auto")
    with pytest.raises(PromotionError, match="version 3 has the tag gate='rejected'"):
        register.make_champion(versions[2])
    assert register.version_of("champion") == versions[0]


def test_rollback_without_a_previous_champion_is_refused(versions: list[str]) -> None:
    register.promote(versions[0], "auto")
    with pytest.raises(PromotionError, match="nothing to roll back to"):
        register.rollback()


def test_an_unknown_promotion_is_refused_before_an_alias_moves(versions: list[str]) -> None:
    with pytest.raises(PromotionError, match="promotion is 'yes'; expected one of"):
        register.promote(versions[0], "yes")
    assert register.version_of("challenger") is None
