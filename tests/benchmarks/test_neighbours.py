"""The bench of bad neighbours in its short form, on the engine without weights."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.benchmarks import neighbours
from tests.benchmarks.attacks import ATTACKS
from tests.benchmarks.scenarios import Bench
from tests.benchmarks.servers import Server, fake_engine

_MOST_MIB = 1_000
"""`make bench` asks for 700 MiB on idle cores; beside other work, more waits in the queues. A pod has 1 GiB."""
_P95_MS = 1_000
"""`make bench` asks for 150 ms on idle cores; tests run beside others."""


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    folder = tmp_path_factory.mktemp("bench")
    neighbours.write_own_texts(folder / "texts.json")
    with (folder / "servers.log").open("w") as log:
        yield Bench(Path(), folder / "texts.json", folder, 1.5, 0, log)


@pytest.fixture(scope="module")
def server(bench: Bench) -> Iterator[Server]:
    with fake_engine(bench.state / "state", bench.log, CACHE="off", SECONDS_PER_TOKEN="0.00006") as made:
        yield made


def test_there_are_twelve_attacks() -> None:
    assert len(ATTACKS) == 12


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_well_behaved_client_is_served_beside(attack: str, bench: Bench, server: Server) -> None:
    found = neighbours.beside(bench, server, attack)
    assert set(found["statuses"]) == {"200"}, found
    assert found["statuses"]["200"] >= 20
    assert set(found["liveness"]) <= {"200"}, found
    assert found["peak_mib"] < _MOST_MIB, found
    assert found["p95_ms"] < _P95_MS, found
