"""The serving command line: wiring only.

python -m serving                       serve MODEL_URI (see settings.py) until SIGTERM
python -m serving score INPUT OUTPUT    score a file with the same engine
"""

from __future__ import annotations

import gc
import logging
import os
import signal
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from serving.settings import Settings

logger = logging.getLogger(__name__)


def main() -> None:
    """Serve, or run the command named in the arguments."""
    if sys.argv[1:]:
        command_line()
    else:
        serve()


def command_line() -> None:
    """Run a command other than serving; typer is imported only here, because serving must start fast."""
    import typer

    from serving.score import score

    app = typer.Typer(help=__doc__, no_args_is_help=True, add_completion=False)
    app.callback()(lambda: None)
    app.command()(score)
    app()


def serve() -> None:
    """Serve until SIGTERM. The first model is prepared while KServe, which takes longest, is imported."""
    # What is imported stays: looking through it for garbage again and again costs a fifth of the import, and
    # would lengthen every collection while serving.
    gc.disable()
    # The first process of a container ignores a signal that it has no handler for. Until the server sets its own,
    # nothing has been accepted that would have to be finished.
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    _configure_logging()
    settings = _settings()
    from serving.source import ModelSource, first_model

    source = ModelSource(settings)
    with ThreadPoolExecutor(1) as thread:
        first = thread.submit(first_model, source)
        from serving.server import Server

        server = Server(settings, source)
    gc.freeze()
    gc.enable()
    server.serve(first.result())


def _settings() -> Settings:
    from pydantic import ValidationError

    from serving.settings import Settings

    try:
        return Settings()
    except ValidationError as error:
        for problem in error.errors():
            name = str(problem["loc"][0])
            found = "a secret" if "SecretStr" in str(Settings.model_fields[name].annotation) else problem["input"]
            logger.error("%s: %s; found %r", name.upper(), problem["msg"], found)
        sys.exit(2)


def _configure_logging() -> None:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)


if __name__ == "__main__":
    main()
