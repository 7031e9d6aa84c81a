"""The priority that a request may state: `"online"` goes before bulk, `"bulk"` gives way to it."""

from __future__ import annotations

from typing import Any, Final, Literal

from serving.errors import RequestError
from serving.protocol.common import quoted

Priority = Literal["online", "bulk"]

PRIORITIES: Final[tuple[Priority, ...]] = ("online", "bulk")


def parse_priority(value: Any, where: str) -> Priority | None:
    """Return the stated priority, None if there is none. Raises RequestError for any other value.

    Example: `parse_priority("bulk", "parameters.priority")` is `"bulk"`.
    """
    if value is None:
        return None
    for priority in PRIORITIES:
        if value == priority:
            return priority
    raise RequestError(f'{where}: found {quoted(value)}; expected "online" or "bulk"')
