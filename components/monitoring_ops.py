"""The components of the monitoring pipeline, as those of `components.ops`: imports stand inside the functions."""

from kfp import dsl
from kfp.dsl import HTML, Artifact, Input, Output

from components.ops import step


@step
def watch(
    log: str, hours: float, rows: int, history: str, labelled: str, workspace: str, drift: Output[Artifact],
    report: Output[HTML],
) -> str:  # fmt: skip
    """Compare the log's newest window with the champion's reference; return the URI of its labelled rows, or ""."""
    import shutil
    import tempfile
    from pathlib import Path

    from components.registry import aliases, artifacts, client
    from monitoring import steps
    from monitoring.calibration.own_data import thresholds_beside

    version, folder = aliases.champion(), Path(drift.path)
    window = steps.champion_window(log, hours=hours, rows=rows, model_version=version)
    requests = labelled.removesuffix(".parquet") + "-requests.jsonl"
    destinations = steps.ReportDestinations(history, workspace, client.tracking_uri(), requests)
    with tempfile.TemporaryDirectory() as scratch:  # The reference window holds review texts: it is no output.
        reference = artifacts.download_reference_window(version, Path(scratch))
        limits = thresholds_beside(reference)
        drift.metadata.update(steps.judge_window(str(reference), window, folder, destinations, limits).to_dict())
    shutil.copy(folder / "report.html", report.path)
    return steps.store_labels(window, labelled, log=log, history=history)


@step
def decide(history: str, run: str, decision: Output[Artifact]) -> str:
    """Decide on the stored reports; return `RETRAIN`, `WATCH` or `OK`. A retry within `run` returns its decision."""
    from pathlib import Path

    from monitoring import steps

    made = steps.decide(history, run=run)
    made.save(Path(decision.path))
    return made.action


@step
def alert(decision: Input[Artifact], webhook: str, shape: str) -> None:
    """Notify people of a decision other than OK."""
    from pathlib import Path

    from monitoring import steps
    from monitoring.policy import Decision

    steps.alert(Decision.load(Path(decision.path)), webhook, shape)


@step
def alert_on_failure(status: dsl.PipelineTaskFinalStatus, webhook: str, shape: str, run: str) -> None:
    """Notify people if watching, retraining or the gate has failed."""
    from monitoring import steps

    if status.state != "SUCCEEDED":
        steps.alert_failure(run, f"{status.pipeline_task_name}: {status.error_message}", webhook, shape)


@step
def outcome(history: str, version: str) -> None:
    """Keep what became of a retraining: the cooldown starts here."""
    from components.registry import aliases
    from monitoring import steps

    promoted, reason = aliases.promotion_outcome(version)
    steps.record_outcome(history, version=version, promoted=promoted, reason=reason)
