"""Compile the pipelines and run them.

python -m pipelines.run compile
python -m pipelines.run local --param seed=1 --param epochs=2
python -m pipelines.run local monitoring --param log=LOG --param history=DIR --param labelled=new.parquet
python -m pipelines.run local --param source=s3://bucket/reviews.parquet --param promotion=manual
python -m pipelines.run submit --host https://kubeflow.example/pipeline --param source=s3://bucket/reviews.parquet
python -m pipelines.run schedule --host https://kubeflow.example/pipeline --cron "0 0 6 * * *" --param log=s3://…
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Literal

import typer
import yaml
from rich.console import Console

from pipelines import remote
from pipelines.local import ParameterError, PipelineFailed, run_local
from pipelines.remote import CronError, Host, RemoteError, Started

app = typer.Typer(add_completion=False, help=__doc__, no_args_is_help=True, rich_markup_mode=None)
CONSOLE: Final = Console(stderr=True)
COMPILED: Final = Path(__file__).parent.parent / "manifests" / "pipelines"
"""Folder of the compiled pipelines, committed so that what runs is what was reviewed."""


def _training() -> Callable[..., Any]:
    from pipelines.training import training

    return training  # type: ignore[no-any-return]


def _monitoring() -> Callable[..., Any]:
    from pipelines.monitoring import monitoring

    return monitoring  # type: ignore[no-any-return]


Name = Literal["training", "monitoring"]
PIPELINES: Final[Mapping[Name, Callable[[], Callable[..., Any]]]] = {"training": _training, "monitoring": _monitoring}

NAME: Final = typer.Argument("training", help="Which pipeline.")
PARAM: Final = typer.Option([], help="NAME=VALUE, as often as needed.")
HOST: Final = typer.Option(..., envvar="KF_PIPELINES_ENDPOINT", help="URL under which /apis/v2beta1 is served.")
NAMESPACE: Final = typer.Option("", help="Your namespace on a host that gives each user one.")
EXPERIMENT: Final = typer.Option(
    remote.EXPERIMENT, envvar="KF_PIPELINES_DEFAULT_EXPERIMENT_NAME", help="Experiment the runs belong to."
)
FOLDER: Final = typer.Option(COMPILED, "--compiled", help="Folder of the compiled pipelines (see `compile --image`).")


def compile_pipelines(folder: Path, image: str = "", env: Mapping[str, str] | None = None) -> list[Path]:
    """Compile every pipeline into `folder`/NAME.yaml.

    `image` replaces the image of all components, `env` becomes environment variables of all their containers.
    """
    from kfp import compiler

    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name, load in PIPELINES.items():
        path = folder / f"{name}.yaml"
        compiler.Compiler().compile(load(), str(path))
        if image or env:
            _set_containers(path, image, env or {})
        written.append(path)
    return written


def _set_containers(path: Path, image: str, env: Mapping[str, str]) -> None:
    documents = list(yaml.safe_load_all(path.read_text(encoding="utf-8")))
    for executor in documents[0]["deploymentSpec"]["executors"].values():
        container = executor["container"]
        container["image"] = image or container["image"]
        known = {variable["name"]: variable["value"] for variable in container.get("env", [])}
        container["env"] = [{"name": name, "value": value} for name, value in (known | dict(env)).items()]
    path.write_text(yaml.safe_dump_all(documents, sort_keys=False), encoding="utf-8")


@app.command("compile")
def compile_command(
    output: Path = typer.Option(COMPILED, help="Folder for the YAML files."),
    image: str = typer.Option("", help="Image of every component, by digest: REF@sha256:…"),
    env: list[str] = typer.Option([], help="NAME=VALUE, an environment variable of every component; no secrets."),
) -> None:
    """Write the compiled pipelines.

    Example: python -m pipelines.run compile --image registry/pipeline@sha256:… --env MLFLOW_TRACKING_URI=http://mlflow:5000
    """
    for path in compile_pipelines(output, image, parse_params(env)):
        typer.echo(f"compiled {path}")


@app.command("local")
def local_command(
    name: Name = NAME,
    param: list[str] = PARAM,
) -> None:
    """Run the compiled pipeline on this machine with kfp.local.

    Example: python -m pipelines.run local --param seed=1
    """
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        run = run_local(COMPILED / f"{name}.yaml", parse_params(param))
    except ParameterError as error:
        raise typer.BadParameter(str(error)) from error
    except PipelineFailed as failure:
        CONSOLE.print(str(failure), style="red", markup=False)
        raise typer.Exit(1) from failure
    CONSOLE.print(f"[green]pipeline finished: {', '.join(run.tasks)}")
    typer.echo(json.dumps({"folder": str(run.folder), "tasks": list(run.tasks)}))


@app.command("submit")
def submit_command(
    name: Name = NAME,
    param: list[str] = PARAM,
    host: str = HOST,
    namespace: str = NAMESPACE,
    experiment: str = EXPERIMENT,
    compiled: Path = FOLDER,
) -> None:
    """Start one run of the compiled pipeline on a Kubeflow Pipelines host.

    Credentials come from KF_PIPELINES_TOKEN, KF_PIPELINES_SA_TOKEN_PATH (a file) or KF_PIPELINES_COOKIE; where the
    pages for people have another address than the API, KF_PIPELINES_UI_ENDPOINT names it.

    Example: python -m pipelines.run submit --host http://localhost:8888 --param epochs=2
    """
    source = compiled / f"{name}.yaml"
    with _usage_and_host_errors():
        started = remote.submit(_host(host, namespace, experiment), source, parse_params(param))
    _warn_without_registry(source)
    _tell(f"run of the {name} pipeline", started)


@app.command("schedule")
def schedule_command(
    cron: str = typer.Option(..., help="Second minute hour day month weekday, in UTC."),
    param: list[str] = PARAM,
    name: str = typer.Option(
        "review-sentiment-monitoring", help="Name of the recurring run; an equal one is replaced."
    ),
    host: str = HOST,
    namespace: str = NAMESPACE,
    experiment: str = EXPERIMENT,
    compiled: Path = FOLDER,
) -> None:
    """Run the monitoring pipeline on a schedule: one run at a time, missed ones are not caught up.

    Credentials and addresses as for `submit`.

    Example: python -m pipelines.run schedule --host http://localhost:8888 --cron "0 0 6 * * *"
    --param log=s3://bucket/predictions --param history=s3://bucket/drift --param labelled=s3://bucket/new.parquet
    """
    where, source = _host(host, namespace, experiment), compiled / "monitoring.yaml"
    with _usage_and_host_errors():
        started = remote.schedule(where, source, parse_params(param), name=name, cron=cron)
    _warn_without_registry(source)
    _tell(f"recurring run {name}", started)
    times = ", ".join(f"{time:%Y-%m-%d %H:%M:%S}" for time in remote.next_runs(cron, 3))
    CONSOLE.print(f"next runs (UTC): {times}", highlight=False)


def _host(url: str, namespace: str, experiment: str) -> Host:
    if not url.startswith(("http://", "https://")):
        raise typer.BadParameter(f"--host is {url!r}; write it with http:// or https://")
    return Host(url.rstrip("/"), namespace, experiment)


@contextmanager
def _usage_and_host_errors() -> Iterator[None]:
    try:
        yield
    except (ParameterError, CronError) as error:
        raise typer.BadParameter(str(error)) from error
    except RemoteError as error:
        CONSOLE.print(str(error), style="red", markup=False, highlight=False, soft_wrap=True)
        raise typer.Exit(1) from error


def _warn_without_registry(compiled: Path) -> None:
    """Say so where steps would each have a registry of their own, lost with their pods."""
    if without := remote.steps_without(compiled, "MLFLOW_TRACKING_URI"):
        CONSOLE.print(
            f"{compiled}: MLFLOW_TRACKING_URI is not set in {', '.join(without)}. Unless the cluster sets it, no model "
            "is registered; compile with --env MLFLOW_TRACKING_URI=http://…",
            style="yellow", markup=False, highlight=False,
        )  # fmt: skip


def _tell(what: str, started: Started) -> None:
    replaced = f", in place of {', '.join(started.replaced)}" if started.replaced else ""
    CONSOLE.print(f"[green]{what}[/]: {started.url}{replaced}", highlight=False, soft_wrap=True)
    typer.echo(json.dumps({"id": started.id, "url": started.url, "replaced": list(started.replaced)}))


def parse_params(values: list[str]) -> dict[str, str]:
    """Return NAME=VALUE pairs as a mapping."""
    pairs = [value.partition("=") for value in values]
    for name, equals, _ in pairs:
        if not equals:
            raise typer.BadParameter(f"{name!r} has no '='; write NAME=VALUE")
    return {name: text for name, _, text in pairs}


if __name__ == "__main__":
    app()
