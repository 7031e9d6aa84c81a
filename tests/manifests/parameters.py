"""The parameters of an environment, and what differs between two environments beside them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from .render import MANIFESTS, Document, name_of
from .rules.leaves import leaves


def read_parameters(environment: str) -> dict[str, str]:
    """Return parameters.env of an overlay."""
    path = MANIFESTS / "overlays" / environment / "environment" / "parameters.env"
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if line and not line.startswith("#")]
    return {name: value for name, _, value in (line.partition("=") for line in lines)}


def differences(
    first: list[Document], second: list[Document], parameters: Mapping[str, str], others: Mapping[str, str]
) -> Iterator[str]:
    """Yield every leaf of the first documents that is not the second's with each parameter put in the other's place.

    `parameters` belong to the first documents, `others` to the second.
    """
    pairs = sorted(
        ((value, others[name]) for name, value in parameters.items() if value != others[name]),
        key=lambda pair: -len(pair[0]),
    )
    mapped = {_put(f"{_key(one)}{path}", pairs): (value, pairs) for one in first for path, value in leaves(one)}
    found = {f"{_key(one)}{path}": value for one in second for path, value in leaves(one)}
    for path in sorted(mapped.keys() | found.keys()):
        if path not in mapped or path not in found:
            yield f"{path}: in one of the two only"
        elif not _same(mapped[path][0], found[path], parameters, others, pairs):
            yield f"{path}: {mapped[path][0]!r} against {found[path]!r}"


def _same(
    value: object, other: object, parameters: Mapping[str, str], others: Mapping[str, str], pairs: list[tuple[str, str]]
) -> bool:
    if value == other or _put(str(value), pairs) == str(other):
        return True
    # A number is a parameter as a whole, never a part of another text.
    return any(str(value) == parameters[name] and str(other) == others[name] for name in parameters)


def _put(text: str, pairs: list[tuple[str, str]]) -> str:
    for value, other in pairs:
        if not value.isdigit():
            text = text.replace(value, other)
    return text


def _key(document: Document) -> str:
    return f"{name_of(document)} in {document['metadata'].get('namespace')}"
