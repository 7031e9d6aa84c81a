"""Pipeline parameters as people give them: NAME=VALUE texts, read by the types that the pipeline states."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any


class ParameterError(ValueError):
    """An argument that the pipeline does not take; the message lists those it does."""


def parse_parameters(values: Sequence[str]) -> dict[str, str]:
    """Return NAME=VALUE texts as a mapping. Raises ParameterError for a text without `=`.

    Example: `parse_parameters(["epochs=2"])` is `{"epochs": "2"}`.
    """
    pairs = [value.partition("=") for value in values]
    for name, equals, _ in pairs:
        if not equals:
            raise ParameterError(f"the parameter {name!r} has no '='; write NAME=VALUE")
    return {name: text for name, _, text in pairs}


def typed_arguments(inputs: Mapping[str, Any], arguments: Mapping[str, str]) -> dict[str, Any]:
    """Return the arguments converted to the types of the pipeline's inputs.

    Raises ParameterError for a name that the pipeline does not take, and for a text that is not of its type.
    """
    readers: dict[str, Callable[[str], Any]] = {"Float": float, "Integer": int, "String": str}
    typed = {}
    for name, text in arguments.items():
        if name not in inputs:
            raise ParameterError(f"the pipeline has no parameter {name!r}; it takes {sorted(inputs)}")
        try:
            typed[name] = readers[inputs[name].type](text)
        except ValueError as error:
            raise ParameterError(f"parameter {name!r} is {text!r}; expected {inputs[name].type}") from error
    return typed
