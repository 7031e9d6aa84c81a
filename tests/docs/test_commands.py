"""Every command in README, docs and the community files exists, with the options that it is shown with."""

from __future__ import annotations

import importlib
import itertools
import os
import re
import shlex
from pathlib import Path
from typing import Any, Final

import pytest
import typer
import yaml

from pipelines.cli.main import app
from tests.support.documents import DOCUMENTS, ROOT, Block, Command, blocks, commands

MAKEFILE: Final = (ROOT / "Makefile").read_text(encoding="utf-8")
OTHER_PROGRAMS: Final = {
    "bash",
    "cd",
    "cosign",
    "curl",
    "docker",
    "done",
    "export",
    "for",
    "gh",
    "git",
    "kind",
    "kubectl",
    "pre-commit",
    "source",
}
PIPELINE_OF: Final = {
    "train": "training",
    "monitor": "monitoring",
    "search": "search",
    "submit": "training",
    "schedule": "monitoring",
}
COMMANDS: Final = [command for block in blocks("bash") for command in commands(block)]
ROOT_COMMAND: Final[Any] = typer.main.get_command(app)


def options(command: Any) -> set[str]:
    return {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)} | {"--help"}


def assert_options(command: Any, words: tuple[str, ...]) -> None:
    named = {word.split("=")[0] for word in words if re.match(r"--?[a-z]", word)}
    assert named <= options(command), f"unknown options {sorted(named - options(command))}"
    arguments = [parameter for parameter in command.params if parameter.param_type_name == "argument"]
    assert arguments or not words or words[0].startswith("-"), f"takes no arguments, found {words[0]!r}"


def assert_review_sentiment(words: tuple[str, ...]) -> None:
    if words[0] == "--help":
        return
    command = ROOT_COMMAND.get_command(None, words[0])
    assert command is not None, f"review-sentiment has no command {words[0]!r}"
    assert_options(command, words[1:])
    params = [value for option, value in itertools.pairwise(words) if option == "--param"]
    known = parameters(PIPELINE_OF[words[0]]) if params else set()
    assert {value.partition("=")[0] for value in params} <= known


def parameters(pipeline: str) -> set[str]:
    path = ROOT / "manifests" / "pipelines" / f"{pipeline}.yaml"
    document = next(yaml.safe_load_all(path.read_text(encoding="utf-8")))
    return set(document["root"]["inputDefinitions"]["parameters"])


def assert_python(words: tuple[str, ...]) -> None:
    if words[0] != "-m":
        assert (ROOT / words[0]).is_file(), f"no file {words[0]}"
        return
    if words[1] == "pytest":
        return
    path = ROOT / words[1].replace(".", "/")
    assert path.with_suffix(".py").is_file() or (path / "__main__.py").is_file(), f"no module {words[1]}"
    module = importlib.import_module(words[1] if path.with_suffix(".py").is_file() else f"{words[1]}.__main__")
    if isinstance(own := getattr(module, "app", None), typer.Typer):
        command = typer.main.get_command(own)
        children = getattr(command, "commands", None)
        if children is None:
            assert_options(command, words[2:])
        else:
            assert words[2] in children, f"python -m {words[1]} has no command {words[2]!r}"
            assert_options(children[words[2]], words[3:])


def assert_make(words: tuple[str, ...]) -> None:
    targets = [word for word in words if "=" not in word]
    for target in targets:
        assert re.search(rf"^{target}:.*## .+", MAKEFILE, flags=re.MULTILINE), f"no target {target}"


def assert_exists(command: Command) -> None:
    """Fail with what is unknown about the command."""
    words = command.words[1:]
    if command.program == "review-sentiment":
        assert_review_sentiment(words)
    elif command.program == "python":
        assert_python(words)
    elif command.program == "make":
        assert_make(words)
    elif (ROOT / command.program).is_file():
        assert os.access(ROOT / command.program, os.X_OK), f"{command.program} may not be executed"
    else:
        assert command.program in OTHER_PROGRAMS, f"unknown program {command.program!r}"
    for word in words:
        top = word.split("/")[0]
        if "/" in word and (ROOT / top).is_dir() and top not in {".venv", ".local"}:
            assert (ROOT / word.split("::")[0]).exists(), f"no path {word}"


@pytest.mark.parametrize("command", COMMANDS, ids=str)
def test_command_exists(command: Command) -> None:
    assert_exists(command)


@pytest.mark.parametrize(
    "line",
    [
        "review-sentiment fly",
        "review-sentiment train --fast",
        "review-sentiment train --param colour=red",
        "review-sentiment rollback 7",
        "make coffee",
        "python -m components.absent",
        "python -m monitoring absent",
        "python tests/absent.py",
        "kubectl apply --kustomize manifests/absent",
        "frobnicate",
        "manifests/absent.sh",
        "manifests/README.md",
    ],
)
def test_a_wrong_command_is_noticed(line: str) -> None:
    command = Command(Block(Path(), "bash", line, False), tuple(shlex.split(line)))
    with pytest.raises(AssertionError):
        assert_exists(command)


def test_inline_commands_exist() -> None:
    """`review-sentiment X` and `make X` in running text."""
    for document in DOCUMENTS:
        text = document.read_text(encoding="utf-8")
        for name in re.findall(r"`review-sentiment ([a-z][a-z-]*)", text):
            assert ROOT_COMMAND.get_command(None, name) is not None, f"{document}: review-sentiment {name}"
        for target in re.findall(r"`make ([a-z-]+)`", text):
            assert re.search(rf"^{target}:.*## .+", MAKEFILE, flags=re.MULTILINE), f"{document}: make {target}"


def test_every_command_is_in_the_reference() -> None:
    page = (ROOT / "docs" / "reference" / "commands.md").read_text(encoding="utf-8")
    listed = set(re.findall(r"^\| `review-sentiment ([a-z-]+)` \|", page, flags=re.MULTILINE))
    assert listed == set(ROOT_COMMAND.list_commands(None))
