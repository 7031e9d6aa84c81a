from __future__ import annotations

from typing import Any

from pipelines.monitoring import monitoring
from pipelines.training import training


def defaults(graph: Any) -> dict[str, Any]:
    return {name: parameter.default for name, parameter in graph.component_spec.inputs.items()}


def test_retraining_has_the_training_graphs_defaults_but_for_the_warm_start() -> None:
    given = defaults(training)
    retraining = {name: value for name, value in defaults(monitoring).items() if name in given}
    assert set(given) - set(retraining) == {"extra_data"}
    differing = {name for name, value in retraining.items() if value != given[name]}
    assert differing == {"base_model", "epochs", "speed"}
    assert (retraining["base_model"], retraining["epochs"]) == ("models:/review-sentiment@champion", 2.0)
    assert retraining["speed"] == "keep"
