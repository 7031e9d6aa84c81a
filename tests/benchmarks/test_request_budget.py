from __future__ import annotations

from tests.benchmarks.request_budget import budget, stages

ROOT = "thread (7): MainThread;run (uvloop/__init__.py:92)"


def test_a_sample_belongs_to_the_innermost_known_function() -> None:
    shares = stages(
        [
            f"{ROOT};answer (serving/api/routes.py:120);encode (feature_checks/classifier.py:67) 3",
            f"{ROOT};score (serving/inference/batcher.py:1);full (numpy/_core/numeric.py:323) 1",
            f"{ROOT} 50",
            "thread (8): engine;run (feature_checks/classifier.py:67) 70",
        ]
    )
    assert shares == {"tokenise": 0.75, "admit, queue, hand over": 0.25}


def test_the_budget_adds_up_to_what_was_spent() -> None:
    threads = {"loop": 100.0, "system": 20.0, "engine": 1300.0, "generator": 40.0}
    spent = threads | {"alone": 1200.0, "per_second": 1200.0, "share": 0.8}
    table = budget({"tokenise": 0.25, "metrics": 0.75}, spent)
    values = [int(line.split("|")[2]) for line in table.splitlines()[2:-2] if line]
    assert sum(values) == 1460
    assert "80% of the engine alone" in table
