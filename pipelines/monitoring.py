"""The monitoring graph: the newest predictions in, a report and a decision out, and retraining when it says so.

`log`, `history`, `labelled` and `workspace` are folders (labelled: a .parquet file) at a path or fsspec URL; see
docs/reference/pipeline-parameters.md. `rows`: watch the last so many predictions; 0 for those of the last `hours`.
The rest are the training graph's, for retraining; it starts from the champion and adds the labelled rows.
"""

from typing import Final

from kfp import dsl

from components import monitoring_ops as ops
from pipelines.training import training

RUN: Final = dsl.PIPELINE_JOB_ID_PLACEHOLDER


@dsl.pipeline(  # type: ignore[untyped-decorator]
    name="review-sentiment-monitoring",
    description="Compare the prediction log with the champion's reference window, decide, and retrain on drift.",
)
def monitoring(
    log: str,
    history: str,
    labelled: str,
    hours: float = 24.0,
    rows: int = 0,
    workspace: str = "",
    webhook: str = "",
    webhook_shape: str = "slack",
    source: str = "icwsm2014:amazon",
    text_column: str = "",
    label_column: str = "",
    rating_column: str = "",
    group_column: str = "",
    rating_scale: str = "auto",
    neutral: str = "required",
    base_model: str = "models:/review-sentiment@champion",
    epochs: float = 2.0,
    learning_rate: float = 1e-4,
    seed: int = 0,
    max_rows: int = 0,
    speed: str = "keep",
    distillation_texts: str = "icwsm2014:movies,nyt,tweets",
    trainer: str = "step",
    training_processes: int = 1,
    training_nodes: int = 1,
    training_folder: str = "",
    calibration: int = 0,
    promotion: str = "auto",
) -> None:
    """Build the graph. The parameters are described at the top of this module."""
    with dsl.ExitHandler(ops.alert_on_failure(webhook=webhook, shape=webhook_shape, run=RUN), name="monitoring"):
        watched = ops.watch(log=log, hours=hours, rows=rows, history=history, labelled=labelled, workspace=workspace)
        decided = ops.decide(history=history, run=RUN).after(watched)
        ops.alert(decision=decided.outputs["decision"], webhook=webhook, shape=webhook_shape)
        with dsl.If(decided.outputs["Output"] == "RETRAIN", name="retrain"):
            retrained = training(
                source=source, extra_data=watched.outputs["Output"], text_column=text_column, label_column=label_column,
                rating_column=rating_column, group_column=group_column, rating_scale=rating_scale, neutral=neutral,
                base_model=base_model, epochs=epochs, learning_rate=learning_rate, seed=seed, max_rows=max_rows,
                speed=speed, distillation_texts=distillation_texts, trainer=trainer, training_nodes=training_nodes,
                training_processes=training_processes, training_folder=training_folder, calibration=calibration,
                promotion=promotion,
            )  # fmt: skip
            ops.outcome(history=history, version=retrained.output)
