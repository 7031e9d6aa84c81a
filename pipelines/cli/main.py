"""The `review-sentiment` command: which commands there are, and where each is defined.

A command's module is imported when the command is used. The list of commands therefore costs nothing, and a command
needs only its own packages: serving works where Kubeflow and PyTorch are not installed.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import typer
from typer.core import TyperGroup


class Entry(NamedTuple):
    """A command of the list."""

    location: str
    """`package.module:function`."""
    summary: str


COMMANDS: Final[Mapping[str, Mapping[str, Entry]]] = {
    "Start here": {
        "doctor": Entry("pipelines.cli.doctor:doctor", "Show what this machine has and what is missing."),
        "demo": Entry("pipelines.cli.loop:demo", "Run the whole loop: train, serve, score, drift, retrain."),
    },
    "Training": {
        "check": Entry("pipelines.cli.data:check", "Check your own reviews in seconds, before any training."),
        "train": Entry("pipelines.cli.loop:train", "Run the training pipeline on this machine."),
        "search": Entry("pipelines.cli.loop:search", "Search the settings of the training pipeline."),
        "promote": Entry("pipelines.cli.registry:promote", "Make a version of the model the champion."),
        "explain": Entry("pipelines.cli.registry:explain", "Say why the gate accepted or rejected a version."),
        "rollback": Entry("pipelines.cli.registry:rollback", "Make the previous champion the champion again."),
        "prune": Entry("pipelines.cli.registry:prune", "Delete rejected versions that are older than a year."),
    },
    "Serving": {
        "serve": Entry("pipelines.cli.predictor:serve", "Serve the champion over REST and gRPC."),
        "score": Entry("pipelines.cli.predictor:score", "Score a file of reviews."),
        "api-key": Entry("serving.access.command:api_key", "Make an API key for the server."),
    },
    "Monitoring": {
        "monitor": Entry("pipelines.cli.loop:monitor", "Run the monitoring pipeline on this machine."),
        "report": Entry("monitoring.__main__:report", "Compare two windows of reviews and write a drift report."),
        "calibrate": Entry("monitoring.__main__:calibrate", "Choose drift thresholds from windows without drift."),
        "simulate": Entry("pipelines.cli.simulate:simulate", "Simulate years of traffic and draw what the loop does."),
        "site": Entry("pipelines.cli.history:site", "Write the drift history as a static web site."),
    },
    "Kubeflow": {
        "compile": Entry("pipelines.cli.kubeflow:compile_command", "Write the pipelines as YAML files."),
        "submit": Entry("pipelines.cli.kubeflow:submit_command", "Start one run of a pipeline on a host."),
        "schedule": Entry("pipelines.cli.kubeflow:schedule_command", "Run the monitoring pipeline on a schedule."),
    },
}

HELP: Final = """Score customer reviews as positive, neutral or negative, and keep the model good.

Every command has its own help, with an example: review-sentiment COMMAND --help

\b
Example:
  review-sentiment doctor
  review-sentiment check reviews.csv
  review-sentiment train reviews.csv
  review-sentiment serve
"""


class LazyCommands(TyperGroup):
    """A group whose commands are imported when they are used."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names in the order of the list."""
        del ctx
        return [name for section in COMMANDS.values() for name in section]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Import the command; return None for an unknown name."""
        del ctx
        entry = next((section[cmd_name] for section in COMMANDS.values() if cmd_name in section), None)
        return _load(cmd_name, entry) if entry else None

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the list from the summaries, without importing any command."""
        del ctx
        for title, section in COMMANDS.items():
            with formatter.section(title):
                formatter.write_dl([(name, entry.summary) for name, entry in section.items()])


def _load(name: str, entry: Entry) -> Any:
    module, _, function = entry.location.partition(":")
    single = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
    single.command(name)(getattr(importlib.import_module(module), function))
    return typer.main.get_command(single)


app = typer.Typer(
    cls=LazyCommands,
    help=HELP,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


@app.callback()
def _root() -> None:
    """Hold the commands together; without a callback typer refuses a group that has none of its own."""
