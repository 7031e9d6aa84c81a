"""The monitoring graph: the newest predictions in, a report and a decision out, and retraining when it says so."""

from kfp import dsl

from components import ops
from pipelines.training import training


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
    rating_scale: str = "-4..4",
    base_model: str = "models:/review-sentiment@champion",
    epochs: float = 2.0,
    learning_rate: float = 1e-4,
    seed: int = 0,
    max_rows: int = 0,
    promotion: str = "auto",
) -> None:
    """Build the graph.

    `log`, `history`, `labelled` and `workspace` are folders (labelled: a .parquet file) at a path or fsspec URL: the
    prediction log, the kept reports and decisions, the labelled rows for retraining, Evidently's workspace (a path, or
    the http(s) address of a running Evidently).
    `rows`: watch the last so many predictions; 0 for those of the last `hours`. Only the champion's count.
    The rest are the training graph's, for retraining; it starts from the champion and adds the labelled rows.
    """
    watched = ops.watch(
        log=log, hours=hours, rows=rows, history=history, labelled=labelled, workspace=workspace
    )  # fmt: skip
    decided = ops.decide(history=history).after(watched)
    alerted = ops.alert(decision=decided.outputs["decision"], webhook=webhook, shape=webhook_shape)
    for task in (watched, decided, alerted):
        task.set_caching_options(False)
    with dsl.If(decided.outputs["Output"] == "RETRAIN", name="retrain"):
        training(
            source=source, extra_data=watched.outputs["Output"], rating_scale=rating_scale, base_model=base_model,
            epochs=epochs, learning_rate=learning_rate, seed=seed, max_rows=max_rows, promotion=promotion,
        )  # fmt: skip
