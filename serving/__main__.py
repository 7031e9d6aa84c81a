"""The serving command line: wiring only.

python -m serving                           serve MODEL_URI (see settings.py) until SIGTERM
python -m serving --model_name=reviews      the same, with KServe's arguments in place of environment variables
python -m serving score INPUT OUTPUT        score a file with the same engine
python -m serving api-key NAME              make an API key
"""

from __future__ import annotations

import argparse
import gc
import logging
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from serving.settings import Settings

logger = logging.getLogger(__name__)

_ARGUMENTS: Final = {
    "model_name": ("model_name", "The model's name in paths and replies (MODEL_NAME)."),
    "model_dir": ("model_uri", "The folder of the bundle, or the folder that holds it as `bundle` (MODEL_URI)."),
    "http_port": ("http_port", "The REST port (HTTP_PORT)."),
    "grpc_port": ("grpc_port", "The gRPC port (GRPC_PORT)."),
}
"""KServe's arguments: the setting that each stands for, and its help."""


def main() -> None:
    """Serve, or run the command named in the arguments."""
    if sys.argv[1:] and not sys.argv[1].startswith("-"):
        command_line()
    else:
        serve(kserve_arguments(sys.argv[1:]))


def kserve_arguments(arguments: Sequence[str]) -> dict[str, str]:
    """Return the settings that KServe's arguments stand for; an unknown argument ends the process with code 2.

    Example: `kserve_arguments(["--model_name=reviews"])` is `{"model_name": "reviews"}`.
    """
    parser = argparse.ArgumentParser(
        "python -m serving",
        description=__doc__,
        epilog="Every other setting is an environment variable. An argument precedes the variable of its name.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    for name, (setting, meaning) in _ARGUMENTS.items():
        parser.add_argument(f"--{name}", f"--{name.replace('_', '-')}", dest=setting, metavar="VALUE", help=meaning)
    given = vars(parser.parse_args(arguments))
    folder = given["model_uri"]
    if folder is not None:
        from serving.settings import mounted_bundle

        given["model_uri"] = str(mounted_bundle(Path(folder)) or folder)
    return {setting: value for setting, value in given.items() if value is not None}


def command_line() -> None:
    """Run a command other than serving; typer is imported only here, because serving must start fast."""
    import typer

    from serving.access.command import api_key
    from serving.bulk.score import score

    app = typer.Typer(help=__doc__, no_args_is_help=True, add_completion=False)
    app.callback()(lambda: None)
    app.command()(score)
    app.command()(api_key)
    app()


def serve(arguments: Mapping[str, str]) -> None:
    """Serve until SIGTERM, with settings from `arguments` in place of environment variables.

    The first model is prepared while KServe, which takes longest, is imported.
    """
    # What is imported stays: looking through it for garbage again and again costs a fifth of the import, and
    # would lengthen every collection while serving.
    gc.disable()
    # The first process of a container ignores a signal that it has no handler for. Until the server sets its own,
    # nothing has been accepted that would have to be finished.
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    _configure_logging()
    settings = _settings(arguments)
    from serving.models.source import ModelSource, first_model

    source = ModelSource(settings)
    with ThreadPoolExecutor(1) as thread:
        first = thread.submit(first_model, source)
        from serving.server import Server

        server = Server(settings, source)
    gc.freeze()
    gc.enable()
    server.serve(first.result())


def _settings(arguments: Mapping[str, str]) -> Settings:
    from pydantic import ValidationError

    from serving.settings import Settings

    try:
        return Settings(**arguments)  # type: ignore[arg-type]  # pydantic converts the strings
    except ValidationError as error:
        for problem in error.errors():
            name = str(problem["loc"][0])
            found = "a secret" if "SecretStr" in str(Settings.model_fields[name].annotation) else problem["input"]
            logger.error("%s: %s; found %r", name.upper(), problem["msg"], found)
        sys.exit(2)


def _configure_logging() -> None:
    from serving.telemetry.failure_log import RedactingFormatter

    handler = logging.StreamHandler()
    handler.setFormatter(RedactingFormatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    logging.getLogger("httpx").setLevel(logging.WARNING)


if __name__ == "__main__":
    main()
