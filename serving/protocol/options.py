"""What a request may ask for beside its texts: the members of `parameters`, the same in V1, V2 and gRPC."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from feature_checks.contract import MAX_TEXT_CHARS
from serving.errors import RequestError
from serving.protocol.common import check_texts, kind, quoted
from serving.protocol.priority import Priority, parse_priority

MAX_ERROR: Final = "max_error"


@dataclass(frozen=True, slots=True)
class Options:
    """The parameters of one request that this server knows; it ignores others, as the protocol says."""

    truncate: bool = False
    """Whether a text above the limit of characters is cut there instead of being refused."""

    priority: Priority | None = None
    """The priority that the request states; None for that of its size."""

    max_error: float | None = None
    """The share of wrong answers that the request accepts for the output `decision`; None if it names none."""

    @classmethod
    def of(cls, parameters: Any) -> Options:
        """Return the options in decoded JSON; None stands for no parameters. Raises RequestError."""
        if not parameters:
            return _DEFAULT
        if not isinstance(parameters, dict):
            raise RequestError(f"parameters: found {kind(parameters)}; expected an object")
        priority = parse_priority(parameters.get("priority"), "parameters.priority")
        return cls(
            _truncate(parameters), priority, parse_max_error(parameters.get(MAX_ERROR), f"parameters.{MAX_ERROR}")
        )

    @classmethod
    def of_message(cls, parameters: Mapping[str, Any]) -> Options:
        """Return the options in the parameters of a protocol buffer. Raises RequestError.

        KServe's parameters hold no fractions, so `max_error` is a string here, such as "0.1".
        """
        if not parameters:
            return _DEFAULT
        chosen = {name: _chosen(value) for name, value in parameters.items()}
        if isinstance(text := chosen.get(MAX_ERROR), str):
            chosen[MAX_ERROR] = _number(text)
        return cls.of(chosen)

    def accept(self, texts: Sequence[Any], where: str) -> tuple[list[str], list[str], int]:
        """Return the texts, their normalised forms and how many were cut. Raises what `check_texts` raises."""
        kept, cut = list(texts), 0
        if not self.truncate:
            return kept, check_texts(kept, where), 0
        for index, text in enumerate(kept):
            if isinstance(text, str) and len(text) > MAX_TEXT_CHARS:
                kept[index] = text[:MAX_TEXT_CHARS]
                cut += 1
        return kept, check_texts(kept, where), cut


_DEFAULT: Final = Options()


def parse_max_error(value: Any, where: str) -> float | None:
    """Return the accepted share of wrong answers, None if there is none. Raises RequestError for any other value.

    Example: `parse_max_error(0.1, "parameters.max_error")` is `0.1`.
    """
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1:
        raise RequestError(f"{where}: found {quoted(value)}; expected a number above 0 and below 1, such as 0.1")
    return float(value)


def _number(text: str) -> float | str:
    """Return the number that a text spells; the text itself if it spells none."""
    try:
        number = float(text)
    except ValueError:
        return text
    return number if math.isfinite(number) else text


def _chosen(parameter: Any) -> Any:
    """Return the value of an InferParameter, whichever type it has."""
    return getattr(parameter, parameter.WhichOneof("parameter_choice") or "bool_param")


def _truncate(parameters: dict[str, Any]) -> bool:
    value = parameters.get("truncate", False)
    if not isinstance(value, bool):
        raise RequestError(f"parameters.truncate: found {kind(value)}; expected true or false")
    return value
