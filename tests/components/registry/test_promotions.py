"""Promoters as processes of their own against a real MLflow server: the alias never skips a comparison."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from components.registry import aliases, promotions
from components.registry.client import connect
from feature_checks.contract import MODEL_NAME
from tests.support.mlflow_registry import MlflowServer
from tests.support.waiting import until

# Waits where another process may come between: after the ledger was read, and before it is written.
WAITING = """
import sys, time
from pathlib import Path
from components.registry import aliases, promotions
append = promotions.append
def late(*arguments):
    Path({ready!r}).touch()
    while not Path({go!r}).exists():
        time.sleep(0.02)
    return append(*arguments)
promotions.append = late
try:
    print({call})
except aliases.PromotionError as refusal:
    print(refusal)
"""
KILLED = """
import os, signal
from components.registry import aliases, promotions
def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)
promotions.{where} = die
aliases.promote({version!r}, 'auto')
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MlflowServer]:
    server = MlflowServer(tmp_path_factory.mktemp("mlflow"))
    server.start()
    yield server
    server.stop()


@pytest.fixture
def registry(server: MlflowServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """An empty registry with a first champion; return its version."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.uri)
    client = connect()
    client.create_registered_model(MODEL_NAME)
    first = register("none")
    assert aliases.promote(first, "auto") == "champion"
    yield first
    for name in (MODEL_NAME, promotions.LEDGER):
        client.delete_registered_model(name)


def register(compared_with: str) -> str:
    client = connect()
    experiment = client.get_experiment_by_name("tests")
    run = client.create_run(experiment.experiment_id if experiment else client.create_experiment("tests"))
    tags = {"gate": "accepted", "compared_with": compared_with}
    source = f"{run.info.artifact_uri}/model"
    return str(client.create_model_version(MODEL_NAME, source=source, run_id=run.info.run_id, tags=tags).version)


def start(code: str) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-W", "ignore", "-c", code], stdout=subprocess.PIPE, text=True)


def waiting(call: str, ready: Path, go: Path) -> subprocess.Popen[str]:
    """Start a process that stops right before it writes to the ledger, until `go` exists."""
    process = start(WAITING.format(ready=str(ready), go=str(go), call=call))
    until(ready.exists, 120)
    return process


class Observer:
    """Looks at the alias all the time and keeps each version it has pointed to, in order."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._look)

    def __enter__(self) -> Observer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._end.is_set():
            version = promotions.alias_of("champion")
            if not self.seen or self.seen[-1] != version:
                self.seen.append(version)


@pytest.mark.timeout(400)
def test_of_two_promoters_at_once_one_wins_and_the_alias_follows_it_alone(registry: str, tmp_path: Path) -> None:
    candidates = [register(registry), register(registry)]
    calls = [f"aliases.promote({version!r}, 'auto')" for version in candidates]
    with Observer() as observer:
        processes = [waiting(call, tmp_path / f"ready-{n}", tmp_path / "go") for n, call in enumerate(calls)]
        (tmp_path / "go").touch()
        outcomes = [process.communicate(timeout=120)[0].strip() for process in processes]
    assert sorted(outcomes) == ["challenger", "champion"]
    winner = candidates[outcomes.index("champion")]
    assert observer.seen == [registry, winner]
    assert aliases.version_of("previous") == registry
    assert promotions.settle() == winner


@pytest.mark.timeout(400)
def test_a_rollback_that_comes_late_changes_nothing(registry: str, tmp_path: Path) -> None:
    second = register(registry)
    assert aliases.promote(second, "auto") == "champion"
    with Observer() as observer:
        rollback = waiting("aliases.rollback()", tmp_path / "ready", tmp_path / "go")
        third = register(second)
        assert aliases.promote(third, "auto") == "champion"
        (tmp_path / "go").touch()
        printed = rollback.communicate(timeout=120)[0]
    assert f"version {third} became champion at the same time; nothing was rolled back" in printed
    assert observer.seen == [second, third]
    assert aliases.version_of("previous") == second


@pytest.mark.timeout(400)
def test_a_promotion_that_comes_after_a_rollback_is_refused(registry: str, tmp_path: Path) -> None:
    second = register(registry)
    assert aliases.promote(second, "auto") == "champion"
    third = register(second)
    with Observer() as observer:
        late = waiting(f"aliases.promote({third!r}, 'auto')", tmp_path / "ready", tmp_path / "go")
        assert aliases.rollback() == registry
        (tmp_path / "go").touch()
        assert late.communicate(timeout=120)[0].strip() == "challenger"
    assert observer.seen == [second, registry]


@pytest.mark.parametrize("where", ["append", "_apply"])
@pytest.mark.timeout(400)
def test_a_killed_promotion_is_finished_when_its_step_runs_again(registry: str, where: str) -> None:
    candidate = register(registry)
    with start(KILLED.format(version=candidate, where=where)) as killed:
        assert killed.wait(timeout=120) == -signal.SIGKILL
    assert promotions.alias_of("champion") == registry
    assert aliases.promote(candidate, "auto") == "champion"
    assert promotions.alias_of("champion") == candidate
    assert [move.after for move in promotions.counted(promotions.moves())] == [registry, candidate]
