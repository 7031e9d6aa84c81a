"""Commands that compile the pipelines and start them on a Kubeflow Pipelines host."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

import typer

from pipelines.compiling import COMPILED, Name
from pipelines.parameters import ParameterError, parse_parameters

if TYPE_CHECKING:
    from pipelines.remote import Host, Started

PIPELINE: Final = typer.Argument("training", help="Which pipeline.")
PARAM: Final = typer.Option([], help="NAME=VALUE for a pipeline parameter, as often as needed.")
_HOST: Final = typer.Option(..., envvar="KF_PIPELINES_ENDPOINT", help="URL under which /apis/v2beta1 is served.")
_NAMESPACE: Final = typer.Option("", help="Your namespace, on a host that gives each user one.")
_EXPERIMENT: Final = typer.Option(
    "review-sentiment", envvar="KF_PIPELINES_DEFAULT_EXPERIMENT_NAME", help="Experiment that the runs belong to."
)
_SERVICE_ACCOUNT: Final = typer.Option("", help="Kubernetes service account of the steps; by default the host's.")
_PIPELINE_ROOT: Final = typer.Option("", help="URL below which the steps' outputs are kept; by default the host's.")
_UPLOAD: Final = typer.Option(False, "--upload", help="Upload the pipeline as a version of its own, and run that.")
FOLDER: Final = typer.Option(COMPILED, "--compiled", help="Folder of the compiled pipelines (see `compile`).")


def compile_command(
    output: Path = typer.Option(COMPILED, help="Folder for the YAML files."),
    image: str = typer.Option("", help="Image of every component, by digest: REF@sha256:…"),
    env: list[str] = typer.Option([], help="NAME=VALUE, an environment variable of every component; no secrets."),
    steps: Path | None = typer.Option(
        None, help="TOML file with CPU, memory, retries and timeouts of steps in this environment.", show_default=False
    ),
    gpus: int = typer.Option(0, help="GPUs of the training step."),
) -> None:
    """Write the pipelines as the YAML files that Kubeflow runs.

    Example: review-sentiment compile --output compiled --image registry.example/components@sha256:…
    --env MLFLOW_TRACKING_URI=http://mlflow:5000
    """
    from pipelines.compiling import compile_pipelines

    with _errors():
        for path in compile_pipelines(output, image, parse_parameters(env), steps=steps, gpus=gpus):
            typer.echo(f"compiled {path}")


def submit_command(
    name: Name = PIPELINE,
    param: list[str] = PARAM,
    host: str = _HOST,
    namespace: str = _NAMESPACE,
    experiment: str = _EXPERIMENT,
    service_account: str = _SERVICE_ACCOUNT,
    pipeline_root: str = _PIPELINE_ROOT,
    upload: bool = _UPLOAD,
    compiled: Path = FOLDER,
) -> None:
    """Start one run of a compiled pipeline on a Kubeflow Pipelines host.

    Credentials come from KF_PIPELINES_TOKEN, KF_PIPELINES_SA_TOKEN_PATH (a file) or KF_PIPELINES_COOKIE. Where the
    pages for people have another address than the API, KF_PIPELINES_UI_ENDPOINT names it.

    Example: review-sentiment submit --host http://localhost:8888 --param epochs=2
    """
    from pipelines import remote

    source = compiled / f"{name}.yaml"
    with _errors():
        started = remote.submit(
            _host(host, namespace, experiment, service_account, pipeline_root, upload=upload),
            source,
            parse_parameters(param),
        )
    _warn_without_registry(source)
    _show(f"run of the {name} pipeline", started)


def schedule_command(
    cron: str = typer.Option(..., help="Second minute hour day month weekday, in UTC."),
    param: list[str] = PARAM,
    name: str = typer.Option(
        "review-sentiment-monitoring", help="Name of the recurring run; it replaces those of the same name."
    ),
    host: str = _HOST,
    namespace: str = _NAMESPACE,
    experiment: str = _EXPERIMENT,
    service_account: str = _SERVICE_ACCOUNT,
    pipeline_root: str = _PIPELINE_ROOT,
    upload: bool = _UPLOAD,
    compiled: Path = FOLDER,
) -> None:
    """Run the monitoring pipeline on a schedule: one run at a time, and missed runs are not caught up.

    Credentials and addresses are those of `submit`.

    Example: review-sentiment schedule --host http://localhost:8888 --cron "0 0 6 * * *"
    --param log=s3://bucket/predictions --param history=s3://bucket/drift --param labelled=s3://bucket/new.parquet
    """
    from pipelines import remote

    source = compiled / "monitoring.yaml"
    with _errors():
        started = remote.schedule(
            _host(host, namespace, experiment, service_account, pipeline_root, upload=upload),
            source,
            parse_parameters(param),
            name=name,
            cron=cron,
        )
    _warn_without_registry(source)
    _show(f"recurring run {name}", started)
    times = ", ".join(f"{time:%Y-%m-%d %H:%M:%S}" for time in remote.next_runs(cron, 3))
    typer.echo(f"next runs (UTC): {times}", err=True)


def _host(url: str, namespace: str, experiment: str, service_account: str, pipeline_root: str, *, upload: bool) -> Host:
    from pipelines.remote import Host

    if not url.startswith(("http://", "https://")):
        raise typer.BadParameter(f"--host is {url!r}; write it with http:// or https://")
    return Host(url.rstrip("/"), namespace, experiment, service_account, pipeline_root, upload)


@contextmanager
def _errors() -> Iterator[None]:
    """Turn wrong parameters into usage errors, and what the host answers into a message with exit code 1."""
    from pipelines.remote import CronError, RemoteError
    from pipelines.step_settings import StepSettingsError

    try:
        yield
    except (ParameterError, CronError, StepSettingsError) as error:
        raise typer.BadParameter(str(error)) from error
    except RemoteError as error:
        typer.secho(str(error), fg="red", err=True)
        raise typer.Exit(1) from error


def _warn_without_registry(compiled: Path) -> None:
    """Warn where each step would have a registry of its own, which is lost with its pod."""
    from pipelines.remote import steps_without

    if without := steps_without(compiled, "MLFLOW_TRACKING_URI"):
        typer.secho(
            f"{compiled}: MLFLOW_TRACKING_URI is not set in {', '.join(without)}. Unless the cluster sets it, no model "
            "is registered; compile with --env MLFLOW_TRACKING_URI=http://…",
            fg="yellow",
            err=True,
        )


def _show(what: str, started: Started) -> None:
    replaced = f", which replaces {', '.join(started.replaced)}" if started.replaced else ""
    typer.echo(f"{what}: {started.url}{replaced}", err=True)
    typer.echo(json.dumps({"id": started.id, "url": started.url, "replaced": list(started.replaced)}))
