"""What a request may ask for beside its texts: the members of `parameters`, the same in V1, V2 and gRPC."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from feature_checks.contract import MAX_TEXT_CHARS
from serving.errors import RequestError
from serving.protocol.common import check_texts, kind
from serving.protocol.priority import Priority, parse_priority


@dataclass(frozen=True, slots=True)
class Options:
    """The parameters of one request that this server knows; it ignores others, as the protocol says."""

    truncate: bool = False
    """Whether a text above the limit of characters is cut there instead of being refused."""

    priority: Priority | None = None
    """The priority that the request states; None for that of its size."""

    @classmethod
    def of(cls, parameters: Any) -> Options:
        """Return the options in decoded JSON; None stands for no parameters. Raises RequestError."""
        if not parameters:
            return _DEFAULT
        if not isinstance(parameters, dict):
            raise RequestError(f"parameters: found {kind(parameters)}; expected an object")
        return cls(_truncate(parameters), parse_priority(parameters.get("priority"), "parameters.priority"))

    @classmethod
    def of_message(cls, parameters: Mapping[str, Any]) -> Options:
        """Return the options in the parameters of a protocol buffer. Raises RequestError."""
        if not parameters:
            return _DEFAULT
        return cls.of({name: _chosen(value) for name, value in parameters.items()})

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


def _chosen(parameter: Any) -> Any:
    """Return the value of an InferParameter, whichever type it has."""
    return getattr(parameter, parameter.WhichOneof("parameter_choice") or "bool_param")


def _truncate(parameters: dict[str, Any]) -> bool:
    value = parameters.get("truncate", False)
    if not isinstance(value, bool):
        raise RequestError(f"parameters.truncate: found {kind(value)}; expected true or false")
    return value
