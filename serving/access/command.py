"""The command that makes an API key."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import typer


def api_key(
    name: str = typer.Argument(..., metavar="NAME", help="Whose key it is: the user of the rate limit and the log."),
    file: Path | None = typer.Option(None, help="The file that API_KEYS_FILE names; the key's line is added to it."),
    rate_limit: str | None = typer.Option(None, help="This user's allowance, such as 1000/minute, or off."),
) -> None:
    """Make an API key, and print it once. Only its SHA-256 is stored.

    Without --file, the line for the file is printed after the key. To rotate a key, make another one with the same
    name, and remove the line of the old one when nobody uses it any more. A running server notices each change.

    \b
    Example:
      review-sentiment api-key shop --file keys.jsonl --rate-limit 1000/minute
      API_KEYS_FILE=keys.jsonl review-sentiment serve
    """
    from serving.access.keys import KeyFileError, entry, new_key, read_keys

    key = new_key()
    try:
        line = entry(name, key, rate_limit)
        if file is not None:
            known = file.exists() and read_keys(file)
            _replace(file, (file.read_text(encoding="utf-8").rstrip("\n") + "\n" if known else "") + line + "\n")
    except KeyFileError as error:
        raise typer.BadParameter(str(error)) from error
    typer.echo(key)
    if file is None:
        typer.echo(line)


def _replace(path: Path, content: str) -> None:
    """Write the file in one step, readable by its owner only, so that a server never reads a part of it."""
    with tempfile.NamedTemporaryFile("w", encoding="utf-8", dir=path.absolute().parent, delete=False) as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    if path.exists():
        Path(file.name).chmod(path.stat().st_mode & 0o777)
    Path(file.name).replace(path)
