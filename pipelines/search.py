"""The search graph: reviews in, the settings of the training pipeline out that score best on the validation split.

Parameters besides those of `pipelines.training` that it shares:

- `trials`: settings that are tried, in two rounds: the second follows from the results of the first.
- `seeds`: trainings of each trial. Their mean score counts, so that no trial wins by a lucky seed.
- `seed`: seed of the suggestions. Equal data and parameters give equal trials.

The test split is left out before the first trial.
"""

from typing import Any, Final

from kfp import dsl

from components import ops
from components.search import ops as search_ops

PARALLEL: Final = 2
"""Trials that run at the same time. kfp.local never runs more than two."""
ROUNDS: Final = 2


def _round(part: int, finished: Any, trials: Any, seed: Any, opened: Any, settings: dict[str, Any]) -> Any:
    """Add the tasks of one round; return the results of its trials.

    The id of the search's MLflow run comes to the trials in their suggestions: kfp.local 2.17 gives the item of a loop
    to every parameter inside it that is another task's output.
    """
    suggested = search_ops.suggest(
        finished=finished, trials=trials, part=part, parts=ROUNDS, seed=seed, search_run=opened.outputs["Output"]
    )
    with dsl.ParallelFor(suggested.output, parallelism=PARALLEL, name=f"round-{part}") as suggestion:
        done = search_ops.trial(suggestion=suggestion, search_data=opened.outputs["search_data"], **settings)
    return done.output


@dsl.pipeline(  # type: ignore[untyped-decorator]
    name="review-sentiment-search",
    description="Ingest, check and split reviews, and search the settings of the training pipeline.",
)
def search(
    source: str = "icwsm2014:amazon",
    extra_data: str = "",
    text_column: str = "",
    label_column: str = "",
    rating_column: str = "",
    group_column: str = "",
    rating_scale: str = "auto",
    neutral: str = "required",
    base_model: str = "default",
    max_rows: int = 0,
    trials: int = 12,
    seeds: int = 3,
    seed: int = 0,
) -> str:
    """Build the graph; it returns the options of `review-sentiment train` for the settings that are chosen."""
    ingested = ops.ingest(
        source=source, extra_data=extra_data, text_column=text_column, label_column=label_column,
        rating_column=rating_column, group_column=group_column, rating_scale=rating_scale, neutral=neutral,
    )  # fmt: skip
    checked = ops.check(data=ingested.outputs["data"], neutral=neutral)
    usable = ops.require_data(data_check=checked.outputs["data_check"])
    data = ops.split(data=ingested.outputs["data"]).after(usable).outputs["split_data"]
    opened = search_ops.open_search(
        data=data, base_model=base_model, max_rows=max_rows, trials=trials, seeds=seeds, seed=seed, source=source,
        extra_data=extra_data, pipeline_run=dsl.PIPELINE_JOB_NAME_PLACEHOLDER,
        pipeline_run_id=dsl.PIPELINE_JOB_ID_PLACEHOLDER,
    )  # fmt: skip
    settings = {"base_model": base_model, "max_rows": max_rows, "seeds": seeds}
    first = _round(1, [], trials, seed, opened, settings)
    second = _round(2, dsl.Collected(first), trials, seed, opened, settings)
    # kfp changes a Collected where it is used: each use needs one of its own.
    chosen = search_ops.choose(
        first=dsl.Collected(first), second=dsl.Collected(second), search_run=opened.outputs["Output"]
    )
    options: str = chosen.outputs["Output"]
    return options
