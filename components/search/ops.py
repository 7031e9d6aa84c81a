"""The components of the search pipeline, as those of `components.ops`: imports stand inside the functions."""

from typing import List

from kfp.dsl import Artifact, Dataset, Input, Markdown, Output

from components.ops import step


@step
def open_search(
    data: Input[Dataset], base_model: str, max_rows: int, trials: int, seeds: int, seed: int, source: str,
    extra_data: str, pipeline_run: str, pipeline_run_id: str, search_data: Output[Dataset],
) -> str:  # fmt: skip
    """Leave out the test split; start the search's MLflow run and return its id."""
    from pathlib import Path

    from components.registry.lineage import Lineage
    from components.search import trials as steps

    search_data.metadata.update(steps.without_test(data.path, Path(search_data.path)))
    settings = {"base_model": base_model, "max_rows": max_rows, "trials": trials, "seeds": seeds, "seed": seed}
    lineage = Lineage(source, extra_data, pipeline_run, pipeline_run_id)
    return steps.open_search(Path(search_data.path), lineage, settings)


@step
def suggest(finished: List[str], trials: int, part: int, parts: int, seed: int, search_run: str) -> List[str]:
    """Return the settings of the trials of one round as JSON, each with the search's MLflow run."""
    import json

    from components.search import space
    from components.search.trials import failing

    with failing(search_run):
        earlier = [space.Trial.of_json(text) for text in finished]
        found = space.suggest(earlier, space.share(trials, part, parts), seed, search_run)
    return [json.dumps(vars(suggestion)) for suggestion in found]


@step
def trial(suggestion: str, search_data: Input[Dataset], base_model: str, max_rows: int, seeds: int) -> str:
    """Train once for each seed; return the scores on the validation split as JSON."""
    import json
    from pathlib import Path

    from components.search import space, trials
    from components.train import TrainingSettings

    asked = space.Suggestion(**json.loads(suggestion))
    settings = TrainingSettings(base_model=base_model, max_rows=max_rows)
    return trials.run_trial(asked, Path(search_data.path), settings, seeds).to_json()


@step
def choose(
    first: List[str], second: List[str], search_run: str, choice: Output[Artifact], report: Output[Markdown]
) -> str:  # fmt: skip
    """Choose on the validation split; return the options of `review-sentiment train` for the choice."""
    import shutil
    from pathlib import Path

    from components.search import choice as choices
    from components.search.space import Trial

    trials = [Trial.of_json(text) for text in [*first, *second]]
    best = choices.choose(trials, search_run, Path(choice.path))
    shutil.copy(Path(choice.path, choices.REPORT), report.path)
    return " ".join(choices.options_of(best))
