"""Which checkpoints a training goes on from."""

from __future__ import annotations

from pathlib import Path

import pytest

from components.modelling import resumption
from components.modelling.resumption import ResumptionError

TRAINING = {"epochs": 4.0, "seed": 0}


def checkpoint(folder: Path, step: int, state: str = "{}") -> Path:
    path = folder / f"checkpoint-{step}"
    path.mkdir(parents=True)
    (path / "trainer_state.json").write_text(state)
    return path


def test_a_new_folder_has_no_interrupted_run(tmp_path: Path) -> None:
    assert resumption.interrupted_run(tmp_path / "new", TRAINING) == ""
    assert resumption.last_checkpoint(tmp_path / "new") is None


def test_the_run_of_an_equal_training_goes_on(tmp_path: Path) -> None:
    resumption.begin(tmp_path / "new", TRAINING, "run-7")
    assert resumption.interrupted_run(tmp_path / "new", TRAINING) == "run-7"


def test_another_training_is_refused_with_what_differs(tmp_path: Path) -> None:
    resumption.begin(tmp_path, TRAINING, "run-7")
    with pytest.raises(ResumptionError, match=r"another training, with seed 0; name another output"):
        resumption.interrupted_run(tmp_path, TRAINING | {"seed": 1})


def test_the_newest_whole_checkpoint_counts(tmp_path: Path) -> None:
    checkpoint(tmp_path, 90)
    whole = checkpoint(tmp_path, 100)
    checkpoint(tmp_path, 110, state='{"epo')
    (tmp_path / "checkpoint-120").mkdir()
    assert resumption.last_checkpoint(tmp_path) == str(whole)
    resumption.drop_older(tmp_path)
    assert list(tmp_path.iterdir()) == [whole]
