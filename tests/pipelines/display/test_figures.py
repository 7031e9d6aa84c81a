"""The figures that finished steps are shown with."""

from __future__ import annotations

from kfp import components

from pipelines.compiling import COMPILED, PIPELINES
from pipelines.display import figures


def test_every_step_with_a_figure_is_a_step_of_a_pipeline() -> None:
    steps: set[str] = set()
    for name in PIPELINES:
        spec = components.load_component_from_file(str(COMPILED / f"{name}.yaml")).pipeline_spec
        for graph in (spec.root, *spec.components.values()):
            steps |= set(graph.dag.tasks)
    assert set(figures._READERS) <= steps
