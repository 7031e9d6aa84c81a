"""Compile the pipelines and run them.

python -m pipelines.run compile
python -m pipelines.run local --param seed=1 --param epochs=2
python -m pipelines.run local monitoring --param log=LOG --param history=DIR --param labelled=new.parquet
python -m pipelines.run local --param source=s3://bucket/reviews.parquet --param promotion=manual
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import typer
import yaml
from rich.console import Console

from pipelines.local import ParameterError, PipelineFailed, run_local

app = typer.Typer(add_completion=False, help=__doc__, no_args_is_help=True, rich_markup_mode=None)
COMPILED: Final = Path(__file__).parent.parent / "manifests" / "pipelines"
"""Folder of the compiled pipelines, committed so that what runs is what was reviewed."""


def _training() -> Callable[..., Any]:
    from pipelines.training import training

    return training  # type: ignore[no-any-return]


def _monitoring() -> Callable[..., Any]:
    from pipelines.monitoring import monitoring

    return monitoring  # type: ignore[no-any-return]


PIPELINES: Final[Mapping[str, Callable[[], Callable[..., Any]]]] = {"training": _training, "monitoring": _monitoring}


def compile_pipelines(folder: Path, image: str = "") -> list[Path]:
    """Compile every pipeline into `folder`/NAME.yaml; `image` replaces the image of all components."""
    from kfp import compiler

    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name, load in PIPELINES.items():
        path = folder / f"{name}.yaml"
        compiler.Compiler().compile(load(), str(path))
        if image:
            _set_image(path, image)
        written.append(path)
    return written


def _set_image(path: Path, image: str) -> None:
    documents = list(yaml.safe_load_all(path.read_text(encoding="utf-8")))
    for executor in documents[0]["deploymentSpec"]["executors"].values():
        executor["container"]["image"] = image
    path.write_text(yaml.safe_dump_all(documents, sort_keys=False), encoding="utf-8")


@app.command("compile")
def compile_command(
    output: Path = typer.Option(COMPILED, help="Folder for the YAML files."),
    image: str = typer.Option("", help="Image of every component, by digest: REF@sha256:…"),
) -> None:
    """Write the compiled pipelines.

    Example: python -m pipelines.run compile --image registry/pipeline@sha256:…
    """
    for path in compile_pipelines(output, image):
        typer.echo(f"compiled {path}")


@app.command("local")
def local_command(
    name: str = typer.Argument("training", help="Which pipeline."),
    param: list[str] = typer.Option([], help="NAME=VALUE, as often as needed."),
) -> None:
    """Run the compiled pipeline on this machine with kfp.local.

    Example: python -m pipelines.run local --param seed=1
    """
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    console = Console(stderr=True)
    try:
        run = run_local(COMPILED / f"{name}.yaml", parse_params(param))
    except ParameterError as error:
        raise typer.BadParameter(str(error)) from error
    except PipelineFailed as failure:
        console.print(f"[red]{failure}")
        raise typer.Exit(1) from failure
    console.print(f"[green]pipeline finished: {', '.join(run.tasks)}")
    typer.echo(json.dumps({"folder": str(run.folder), "tasks": list(run.tasks)}))


def parse_params(values: list[str]) -> dict[str, str]:
    """Return NAME=VALUE pairs as a mapping."""
    pairs = [value.partition("=") for value in values]
    for name, equals, _ in pairs:
        if not equals:
            raise typer.BadParameter(f"{name!r} has no '='; write NAME=VALUE")
    return {name: text for name, _, text in pairs}


if __name__ == "__main__":
    app()
