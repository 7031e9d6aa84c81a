"""The processes that run years side by side."""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import threadpoolctl

from pipelines.simulation.years import Plan, _start


def threads() -> list[int]:
    """Return the threads of each library of this process that computes on several.

    One is loaded only now, and reads the number from the environment; NumPy has been loaded before.
    """
    import sklearn.cluster  # noqa: F401

    return [library["num_threads"] for library in threadpoolctl.threadpool_info()]


def test_a_worker_computes_on_one_thread(tmp_path: Path) -> None:
    with ProcessPoolExecutor(1, get_context("spawn"), _start, (Plan(tmp_path, tmp_path, tmp_path),)) as pool:
        found = pool.submit(threads).result()
    assert found
    assert set(found) == {1}
