"""Build both images and see them work on a real Docker engine: `make images`.

DOCKER_HOST=unix:///run/docker.sock python -m tests.images.smoke
DOCKER_ENGINE=path/to/script make images                          `script start` starts an engine
BASE_IMAGE=python:3.11-slim PIP_EXTRA_INDEX_URL=… make images    another base, an index of torch builds for the CPU
"""

from __future__ import annotations

import json
import logging
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import docker
import typer
from rich.console import Console
from rich.table import Table

from components.results.files import BUNDLE_FOLDER
from feature_checks.state import state_dir
from tests.images import drain, engine, pipeline, predictor, supply_chain
from tests.images.engine import COMPONENTS, SERVING, CheckFailed, require

CONSOLE: Final = Console(stderr=True)
MEGABYTE: Final = 1_000_000
MAX_SERVING_BYTES: Final = 700 * MEGABYTE

Found = dict[str, Any]


def main() -> None:
    """Build, check and measure; write STATE_DIR/images/results.json. Exit code 1 where a check fails."""
    logging.basicConfig(level=logging.WARNING)
    found: Found = {"seconds": {}}
    try:
        client = engine.connect()
        _build(client, found)
        with _work_folder(client) as folder:
            with _timed(found, "bill of materials and audit"):
                packages = supply_chain.list_packages(folder)
                found["sbom_components"] = supply_chain.check_sbom(packages)
                found["audit"] = supply_chain.check_audit(packages)
            bundle = _pipeline(client, folder, found)
            _predictor(client, folder, bundle, found)
    except CheckFailed as failure:
        CONSOLE.print(f"make images: {failure}", style="red", markup=False, highlight=False)
        raise typer.Exit(1) from failure
    path = state_dir() / "images" / "results.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    _print(found)
    CONSOLE.print(f"written: {path}", highlight=False)


def _build(client: docker.DockerClient, found: Found) -> None:
    sizes = found["bytes_above_base"] = {}
    for tag in (SERVING, COMPONENTS):
        with _timed(found, f"build {tag}"):
            engine.build(client, tag)
        sizes[tag] = engine.bytes_above_base(client, tag)
    size = sizes[SERVING]
    require(
        size <= MAX_SERVING_BYTES,
        f"{SERVING} is {size / MEGABYTE:.0f} MB above its base; at most {MAX_SERVING_BYTES / MEGABYTE:.0f} are allowed",
    )


@contextmanager
def _work_folder(client: docker.DockerClient) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="images-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        try:
            yield folder
        finally:
            engine.reclaim(client, folder)


def _pipeline(client: docker.DockerClient, folder: Path, found: Found) -> Path:
    """Return the bundle that the pipeline made."""
    with _timed(found, "training pipeline on DockerRunner"):
        run = pipeline.train_by_pipeline(folder / "pipeline")
    found["pipeline_steps"] = run.tasks
    with _timed(found, "one training step"):
        pipeline.train_alone(client, run, folder / "training")
    with _timed(found, "one drift report"):
        pipeline.report_alone(client, run, folder / "report")
    return run.artifact("export", "exported") / BUNDLE_FOLDER


def _predictor(client: docker.DockerClient, folder: Path, bundle: Path, found: Found) -> None:
    with _timed(found, "predictor"):
        variables = {"GRACE_SECONDS": str(drain.GRACE_SECONDS), "QUEUE_SECONDS": "60", "DRAIN_SECONDS": "60",
                     "REQUEST_TIMEOUT_SECONDS": "60"}  # fmt: skip
        with predictor.predictor(client, bundle, folder / "served", **variables) as server:
            found["ready_seconds"] = predictor.check_ready_in_time(server)
            predictor.check_confined(server)
            predictor.check_protocols(server, bundle)
            predictor.check_health(server)
            found["drained"] = drain.check_drain(server)
        with predictor.predictor(client, bundle, folder / "ended") as server:
            found["early_end_seconds"] = drain.check_ends_while_starting(server)


@contextmanager
def _timed(found: Found, what: str) -> Iterator[None]:
    CONSOLE.rule(what)
    began = time.monotonic()
    yield
    found["seconds"][what] = round(time.monotonic() - began, 1)


def _print(found: Found) -> None:
    table = Table("image", "MB above its base", "limit")
    for tag, size in found["bytes_above_base"].items():
        table.add_row(tag, f"{size / MEGABYTE:.0f}", f"{MAX_SERVING_BYTES / MEGABYTE:.0f}" if tag == SERVING else "")
    CONSOLE.print(table)
    table = Table("check", "found")
    table.add_row("predictor's bill of materials", f"{found['sbom_components']} components")
    table.add_row("audit of the predictor", found["audit"])
    table.add_row("pipeline steps, each in a container", " ".join(found["pipeline_steps"]))
    table.add_row("predictor ready on 1 CPU, 1 GiB", f"{found['ready_seconds']:.1f} s")
    table.add_row("answered after SIGTERM", found["drained"])
    table.add_row("SIGTERM while starting", f"ended after {found['early_end_seconds']:.1f} s")
    for what, seconds in found["seconds"].items():
        table.add_row(f"time: {what}", f"{seconds:.0f} s")
    CONSOLE.print(table)


if __name__ == "__main__":
    typer.run(main)
