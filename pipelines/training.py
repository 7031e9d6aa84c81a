"""The training graph: reviews in, a registered and gated model out.

Parameters besides those of `components.train.TrainingSettings`:

- `source`, `extra_data`: what is trained on; see `components.ingest.ingest`.
- `text_column`, `label_column`, `rating_column`, `group_column`: columns of own data. Empty names are
  found by their usual spellings.
- `rating_scale`: `-4..4`, `1..5`, or `auto`: stars where no rating is below 1.
- `neutral`: what happens without neutral rows. `required` stops, `from_default` adds those of the default data, `none`
  trains a model that never predicts neutral.
- `calibration`: measure the thresholds of the drift detectors on so many pairs of windows of this data, and store them
  with the model; 0 leaves the project's thresholds.
- `trainer`, `training_processes`, `training_nodes`, `training_folder`: where the training runs; see
  `components.launching.launch.Place`.
- `promotion`: `auto` moves `champion` when the gate passes, `manual` stops at `challenger` for a person to review.
"""

from typing import Any

from kfp import dsl

from components import ops


def _judge_and_register(trained: Any, data: Any, data_check: Any, calibration: Any, promotion: Any) -> str:
    """Add the tasks after training; return the version that is registered."""
    model = trained.outputs["model"]
    evaluation = ops.evaluate(model=model, data=data).outputs["evaluation"]
    exported = ops.export(model=model, evaluation=evaluation, data=data, data_check=data_check).outputs["exported"]
    verification = ops.verify(exported=exported, evaluation=evaluation, data=data).outputs["verification"]
    gated = ops.gate(evaluation=evaluation, verification=verification, data=data)
    window = ops.reference_window(exported=exported, data=data, calibration=calibration).outputs["window"]
    registered = ops.register(
        model=model, exported=exported, evaluation=evaluation, verification=verification,
        decision=gated.outputs["decision"], data_check=data_check, window=window,
        run_id=trained.outputs["Output"], pipeline_run=dsl.PIPELINE_JOB_NAME_PLACEHOLDER,
    )  # fmt: skip
    with dsl.If(gated.outputs["Output"] == "accepted", name="accepted"):
        ops.promote(version=registered.output, promotion=promotion)
    version: str = registered.output
    return version


@dsl.pipeline(  # type: ignore[untyped-decorator]
    name="review-sentiment-training",
    description="Ingest, check, split, train, evaluate, export, verify, gate, register and promote a sentiment model.",
)
def training(
    source: str = "icwsm2014:amazon",
    extra_data: str = "",
    text_column: str = "",
    label_column: str = "",
    rating_column: str = "",
    group_column: str = "",
    rating_scale: str = "auto",
    neutral: str = "required",
    base_model: str = "default",
    epochs: float = 4.0,
    learning_rate: float = 1e-4,
    seed: int = 0,
    max_rows: int = 0,
    speed: str = "full",
    distillation_texts: str = "icwsm2014:movies,nyt,tweets",
    trainer: str = "step",
    training_processes: int = 1,
    training_nodes: int = 1,
    training_folder: str = "",
    calibration: int = 0,
    promotion: str = "auto",
) -> str:
    """Build the graph; it returns the candidate's version. The parameters are described at the top of this module."""
    ingested = ops.ingest(
        source=source, extra_data=extra_data, text_column=text_column, label_column=label_column,
        rating_column=rating_column, group_column=group_column, rating_scale=rating_scale, neutral=neutral,
    )  # fmt: skip
    checked = ops.check(data=ingested.outputs["data"], neutral=neutral)
    usable = ops.require_data(data_check=checked.outputs["data_check"])
    data = ops.split(data=ingested.outputs["data"]).after(usable).outputs["split_data"]
    trained = ops.train(
        data=data, base_model=base_model, epochs=epochs, learning_rate=learning_rate, seed=seed,
        max_rows=max_rows, source=source, source_options=ingested.outputs["Output"], extra_data=extra_data,
        pipeline_run=dsl.PIPELINE_JOB_NAME_PLACEHOLDER, pipeline_run_id=dsl.PIPELINE_JOB_ID_PLACEHOLDER,
        trainer=trainer, training_processes=training_processes, training_nodes=training_nodes,
        training_folder=training_folder, speed=speed, distillation_texts=distillation_texts,
    )  # fmt: skip
    return _judge_and_register(trained, data, checked.outputs["data_check"], calibration, promotion)
