"""The Markdown documents of the repository, their code blocks, and the commands in those blocks."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parent.parent.parent
DOCS: Final = ROOT / "docs"
DOCUMENTS: Final = (
    *sorted(path for path in ROOT.glob("*.md") if path.name != "CHANGELOG.md"),
    *sorted(DOCS.rglob("*.md")),
)
"""README, the community files and the documentation. The changelog names things that no longer exist."""

_BLOCK: Final = re.compile(
    r"^(?P<mark><!-- test: run -->\n+)?(?P<indent> *)```(?P<language>\w+)\n(?P<text>.*?)^(?P=indent)```$",
    re.DOTALL | re.MULTILINE,
)
_SEPARATORS: Final = frozenset({";", "&&", "||", "|", "&", "do", "then"})


@dataclass(frozen=True)
class Block:
    """One fenced code block."""

    document: Path
    language: str
    text: str
    """Without the indentation of the fence."""
    runnable: bool
    """Whether the document asks the tests to execute the block."""

    def __str__(self) -> str:
        return f"{name_of(self.document)}: {self.text.strip().splitlines()[0][:60]}"


@dataclass(frozen=True)
class Command:
    """One command of a shell block, without variables set in front of it."""

    block: Block
    words: tuple[str, ...]

    def __str__(self) -> str:
        return f"{name_of(self.block.document)}: {' '.join(self.words)[:80]}"

    @property
    def program(self) -> str:
        """The program without the folder of the environment."""
        return self.words[0].removeprefix(".venv/bin/")


def name_of(path: Path) -> str:
    """Return the path inside the repository, for test ids."""
    return path.relative_to(ROOT).as_posix()


def blocks(language: str) -> list[Block]:
    """Return the blocks of one language in every document."""
    found = []
    for document in DOCUMENTS:
        for match in _BLOCK.finditer(document.read_text(encoding="utf-8")):
            if match["language"] == language:
                text = re.sub(rf"^{match['indent']}", "", match["text"], flags=re.MULTILINE)
                found.append(Block(document, language, text, bool(match["mark"])))
    return found


def commands(block: Block) -> Iterator[Command]:
    """Yield the commands of a shell block in their order."""
    for line in _logical_lines(block.text):
        words: list[str] = []
        for word in [*_words(line), ";"]:
            if word not in _SEPARATORS:
                words.append(word)
                continue
            while words and re.fullmatch(r"[A-Z_]+=.*", words[0], re.DOTALL):
                words.pop(0)
            if words:
                yield Command(block, tuple(words))
            words = []


def _logical_lines(text: str) -> Iterator[str]:
    """Join lines that a backslash or an open quotation mark continues."""
    pending = ""
    for line in text.splitlines():
        pending = f"{pending}{line}\n"
        if pending.endswith("\\\n"):
            pending = pending[:-2]
            continue
        try:
            _words(pending)
        except ValueError:  # a quotation mark is open
            continue
        yield pending
        pending = ""
    assert not pending, f"a quotation mark is never closed: {pending}"


def _words(line: str) -> list[str]:
    lexer = shlex.shlex(line, posix=True, punctuation_chars=";&|")
    lexer.whitespace_split = True
    return list(lexer)
