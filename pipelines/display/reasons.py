"""Find out from a log why a step failed, in the words of the error that it raised."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import takewhile
from pathlib import Path
from typing import Final

_TRACEBACK: Final = "Traceback (most recent call last):"
_RAISED: Final = re.compile(r"^(?P<type>[A-Za-z_][\w.]*)(?:: (?P<message>.*))?$")
_KFP_LINE: Final = re.compile(r"^\d\d:\d\d:\d\d\.\d+ - [A-Z]+ - ")
_INDENT: Final = "    "
_LONGEST: Final = 12
"""Lines of a reason that are shown. A longer message is cut; the log has all of it."""


def reason_of(log: Path) -> str:
    """Return why the program that wrote `log` failed.

    This is the message of the exception that ended it, without the traceback. Where there is no traceback, as when the
    system killed the process, it is the log's last lines.

    Example: `reason_of(Path(".local/logs/run/02-check.log"))`.
    """
    lines = [line.removeprefix(_INDENT) for line in _step_lines(log)]
    message = _message_of_last_traceback(lines) or _last_lines(lines)
    if len(message) > _LONGEST:
        message = [*message[:_LONGEST], "… (the log has the whole message)"]
    return "\n".join(message)


def _step_lines(log: Path) -> list[str]:
    # kfp.local's own lines say only that the step failed.
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    return [line.rstrip() for line in lines if not _KFP_LINE.match(line)]


def _message_of_last_traceback(lines: Sequence[str]) -> list[str]:
    """Return the lines of the last traceback's exception, or none where the log has no traceback."""
    starts = [number for number, line in enumerate(lines) if line == _TRACEBACK]
    if not starts:
        return []
    after = lines[starts[-1] + 1 :]
    frames = list(takewhile(lambda line: line.startswith(" ") or not line, after))
    raised = after[len(frames) :]
    if not raised:
        return []
    return _trimmed([_without_type(raised[0]), *raised[1:]])


def _without_type(line: str) -> str:
    """Return `message` of `package.module.Error: message`; a built-in error keeps its name, which is often needed."""
    found = _RAISED.match(line)
    if found is None or not found["message"] or "." not in found["type"]:
        return line
    return found["message"]


def _last_lines(lines: Sequence[str]) -> list[str]:
    printed = _trimmed(lines)
    if not printed:
        return ["The process ended without a message. The system may have stopped it, for example for lack of memory."]
    last = printed[-1]
    if last.startswith("Error: "):
        return [last.removeprefix("Error: ").removeprefix("Invalid value: ")]
    return [
        "The process ended without an error message. The system may have stopped it, for example for lack of memory.",
        "Its last lines are:",
        *(f"  {line}" for line in printed[-3:]),
    ]


def _trimmed(lines: Sequence[str]) -> list[str]:
    first = next((number for number, line in enumerate(lines) if line.strip()), len(lines))
    last = next((number for number in range(len(lines), first, -1) if lines[number - 1].strip("- ")), first)
    return list(lines[first:last])
