"""Small SVG plots that follow the colours of the page, light and dark."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from monitoring.pages.document import Html

WIDTH: Final = 360
HEIGHT: Final = 190
LEFT, RIGHT, TOP, BOTTOM = 40, 350, 12, 160
LONE_THRESHOLD: Final = 25
"""How far the line of a single window's threshold reaches to each side of it."""


@dataclass(frozen=True)
class Point:
    """One value of a series over windows."""

    label: str
    """Name of the window, which a tooltip shows."""
    value: float
    """Measured value."""
    threshold: float | None = None
    """Value at which an alarm starts."""
    alarm: bool = False
    """Whether the point is drawn as an alarm."""
    low: float | None = None
    """Lower end of the interval of the value."""
    high: float | None = None
    """Upper end of the interval of the value."""
    tick: str = ""
    """Short name of the window, for the axis."""


def series(title: str, points: Sequence[Point], caption: str, *, breaks: Sequence[int] = ()) -> Html:
    """Return values over windows as a line, with thresholds and intervals if the points have them.

    `breaks`: positions at which a new champion starts; the line is interrupted there.
    """
    ends = [value for point in points for value in (point.value, point.threshold, point.low, point.high)]
    scale = _Scale.of([end for end in ends if end is not None])
    x = _positions(len(points))
    parts = [*_axes(scale), *_first_and_last(points, x)]
    parts += [_line("champion", (x[index] + x[index - 1]) / 2, TOP, (x[index] + x[index - 1]) / 2, BOTTOM)
              for index in breaks]  # fmt: skip
    for start, end in zip([0, *breaks], [*breaks, len(points)], strict=True):
        thresholds = [(x[i], scale.y(value)) for i in range(start, end) if (value := points[i].threshold) is not None]
        parts += [
            _path("threshold", _visible(thresholds)),
            _path("line", [(x[i], scale.y(points[i].value)) for i in range(start, end)]),
        ]
    for point, position in zip(points, x, strict=True):
        if point.low is not None and point.high is not None:
            parts.append(_line("interval", position, scale.y(point.low), position, scale.y(point.high)))
        parts.append(_dot(point, position, scale.y(point.value)))
    return _figure(title, parts, caption)


def bars(title: str, before: Sequence[float], now: Sequence[float], labels: Sequence[str], caption: str) -> Html:
    """Return two distributions (shares of n bins) as pairs of bars.

    There is one label for each pair,
    or the labels are values of an axis from its start to its end.
    """
    scale = _Scale(0.0, max([*before, *now, 1e-9]))
    slot = (RIGHT - LEFT) / max(len(before), 1)
    parts = _axes(scale)
    for index, pair in enumerate(zip(before, now, strict=True)):
        for offset, (name, share) in enumerate(zip(("before", "now"), pair, strict=True)):
            left, top = LEFT + slot * (index + 0.1 + 0.4 * offset), scale.y(share)
            parts.append(
                f'<rect class="{name}" x="{left:.1f}" y="{top:.1f}" width="{slot * 0.4:.1f}" '
                f'height="{BOTTOM - top:.1f}"/>'
            )
    parts += _below_bars(labels, one_each=len(labels) == len(before))
    return _figure(title, parts, caption)


@dataclass(frozen=True)
class _Scale:
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> _Scale:
        margin = (max(values) - min(values)) * 0.08 or 0.05
        return cls(max(min(values) - margin, 0.0) if min(values) >= 0 else min(values) - margin, max(values) + margin)

    def y(self, value: float) -> float:
        return BOTTOM - (value - self.low) / (self.high - self.low) * (BOTTOM - TOP)


def _positions(count: int) -> list[float]:
    if count == 1:
        return [(LEFT + RIGHT) / 2]
    return [LEFT + 8 + (RIGHT - LEFT - 16) * index / (count - 1) for index in range(count)]


def _axes(scale: _Scale) -> list[str]:
    values = [scale.low + (scale.high - scale.low) * part for part in (0.0, 0.5, 1.0)]
    lines = [_line("grid", LEFT, scale.y(value), RIGHT, scale.y(value)) for value in values]
    return lines + [_text(LEFT - 6, scale.y(value) + 4, f"{value:.2f}", "end") for value in values]


def _first_and_last(points: Sequence[Point], x: Sequence[float]) -> list[str]:
    if len(points) == 1:
        return [_text(x[0], BOTTOM + 18, points[0].tick, "middle")]
    return [
        _text(LEFT, BOTTOM + 18, points[0].tick, "start"),
        _text(RIGHT, BOTTOM + 18, points[-1].tick, "end"),
    ]


def _below_bars(labels: Sequence[str], *, one_each: bool) -> list[str]:
    if one_each:
        width = (RIGHT - LEFT) / len(labels)
        return [_text(LEFT + width * (i + 0.5), BOTTOM + 18, label, "middle") for i, label in enumerate(labels)]
    places = [(LEFT + (RIGHT - LEFT) * i / (len(labels) - 1)) for i in range(len(labels))]
    anchors = ["start", *["middle"] * (len(labels) - 2), "end"]
    return [_text(*place, *label) for place, label in zip(
        [(x, BOTTOM + 18) for x in places], zip(labels, anchors, strict=True), strict=True)]  # fmt: skip


def _dot(point: Point, x: float, y: float) -> str:
    name, radius = ("alarm", 4) if point.alarm else ("point", 2.5)
    words = html.escape(f"{point.label}: {point.value:.3f}")
    return f'<circle class="{name}" cx="{x:.1f}" cy="{y:.1f}" r="{radius}"><title>{words}</title></circle>'


def _visible(thresholds: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return the points of a threshold's line; that of a single window gets a length, or nobody would see it."""
    if len(thresholds) != 1:
        return list(thresholds)
    ((x, y),) = thresholds
    return [(max(x - LONE_THRESHOLD, LEFT), y), (min(x + LONE_THRESHOLD, RIGHT), y)]


def _path(name: str, points: Sequence[tuple[float, float]]) -> str:
    return f'<polyline class="{name}" points="{" ".join(f"{x:.1f},{y:.1f}" for x, y in points)}"/>' if points else ""


def _line(name: str, x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<line class="{name}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def _text(x: float, y: float, content: str, anchor: str) -> str:
    return f'<text class="axis" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{html.escape(content)}</text>'


def _figure(title: str, parts: Sequence[str], caption: str) -> Html:
    return Html(
        f'<figure class="plot"><svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{html.escape(title)}">'
        f"{''.join(parts)}</svg><figcaption><strong>{html.escape(title)}</strong> {html.escape(caption)}"
        "</figcaption></figure>"
    )
