"""The training graph: reviews in, a registered and gated model out."""

from kfp import dsl

from components import ops


@dsl.pipeline(  # type: ignore[untyped-decorator]
    name="review-sentiment-training",
    description="Ingest, check, split, train, evaluate, export, verify, gate, register and promote a sentiment model.",
)
def training(
    source: str = "icwsm2014:amazon",
    extra_data: str = "",
    rating_scale: str = "-4..4",
    base_model: str = "default",
    epochs: float = 4.0,
    learning_rate: float = 1e-4,
    seed: int = 0,
    max_rows: int = 0,
    promotion: str = "auto",
) -> None:
    """Build the graph.

    `promotion`: `auto` moves `champion` when the gate passes, `manual` stops at `challenger` for a person.
    `max_rows`: train on at most so many rows; 0 for all.
    """
    run_name = dsl.PIPELINE_JOB_NAME_PLACEHOLDER
    ingested = ops.ingest(source=source, extra_data=extra_data, rating_scale=rating_scale)
    checked = ops.check(data=ingested.outputs["data"])
    findings = checked.outputs["findings"]
    data = ops.split(data=ingested.outputs["data"]).after(checked).outputs["split_data"]
    trained = ops.train(
        data=data, base_model=base_model, epochs=epochs, learning_rate=learning_rate, seed=seed,
        max_rows=max_rows, pipeline_run=run_name,
    )  # fmt: skip
    model = trained.outputs["model"]
    evaluation = ops.evaluate(model=model, data=data).outputs["evaluation"]
    exported = ops.export(model=model, evaluation=evaluation, data=data, findings=findings).outputs["exported"]
    verification = ops.verify(exported=exported, evaluation=evaluation, data=data).outputs["verification"]
    gated = ops.gate(evaluation=evaluation, verification=verification, data=data)
    window = ops.reference(exported=exported, data=data).outputs["window"]
    registered = ops.register(
        model=model, exported=exported, evaluation=evaluation, verification=verification,
        decision=gated.outputs["decision"], findings=findings, reference=window,
        run_id=trained.outputs["Output"], pipeline_run=run_name,
    )  # fmt: skip
    with dsl.If(gated.outputs["Output"] == "accepted", name="accepted"):
        promoted = ops.promote(version=registered.output, promotion=promotion)
        promoted.set_caching_options(False)
    for task in (ingested, gated, registered):
        task.set_caching_options(False)
