"""The capacity page: what was simulated, with which numbers, and what came out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np

from tests.benchmarks import capacity
from tests.benchmarks.kpa import KpaSettings

PAGE = """# Capacity: a simulation

**Simulated, never measured on a cluster.** Knative's autoscaler decides, tick by tick, over the service times that
`make bench` measures on one machine; arrivals are random (Poisson) with a fixed seed. Regenerate it with

```bash
python -m tests.benchmarks.capacity --results .local/bench/results.json
```

(`--help` lists price, peak, concurrency target and the rest; equal options give equal files.)

## What came out

{table}

Started: pods started after the first ones. Cold: requests that found no ready pod and waited for one in Knative's
activator. p95 is that of the whole run, refused requests left out; the pictures show it second by second.

![Simulated day](capacity-day.png)

![Simulated burst](capacity-burst.png)

## What went in

- A pod has {vcpus:g} vCPUs and answers {throughput:.0f} single-text requests/s at most; at 70 % of that its latency is
  {p50:.0f} ms in the middle and {p95:.0f} ms at the 95th percentile ({source}, load generator on the same cores,
  every text distinct: cache hits would need less).
- A pod is ready {start:g} s after the decision for it (assumed: the image is on the node; `--start-seconds`).
- A request that would wait longer than {queue:g} s is refused with 503 (`QUEUE_SECONDS`).
- A vCPU-hour costs {price:g} (assumed; `--price`, in any currency). Only the predictor's CPU is counted.
- All ready pods share one queue: an even balance, which a real load balancer only comes near to.

## The autoscaler's arithmetic

From knative/serving: `pkg/autoscaler/scaling/autoscaler.go`, `pkg/reconciler/autoscaling/resources/target.go`, defaults
of `config/core/configmaps/autoscaler.yaml`. In [tests/benchmarks/kpa.py](../tests/benchmarks/kpa.py), tested
against cases worked by hand.

- Target per pod: max(1, concurrency x {utilization:.0%}) = {target:.2g} requests in flight, with the concurrency target
  {concurrency:g}: what Little's law gives at 70 % load (rate x mean latency = {in_flight:.1f} in flight), divided by
  {utilization:.0%}. The manifests' `scaleTarget` is the same.
- Every {tick:g} s: pods = ceil(mean in flight over {stable_window:g} s / target); at most {max_scale_up_rate:g} x and
  at least 1/{max_scale_down_rate:g} of the ready ones, at most {max_scale} (`--max-replicas`).
- Panic: when ceil(mean over {panic_window:g} s / target) is {panic_threshold:.0%} of the ready pods or more, the larger
  of both means counts and nothing is scaled down until {stable_window:g} s after it was last so.
- Excess burst capacity = floor(ready x concurrency - {burst_capacity:g} - in flight); below zero the activator stays in
  the request path: at this target that is always so. It adds a hop, which is not simulated.
- To zero (where `minReplicas` is 0): after the stable window without a request and {scale_to_zero_grace:g} s of grace.
"""


def write(
    folder: Path,
    outcomes: Sequence[capacity.Outcome],
    pod: capacity.Pod,
    settings: KpaSettings,
    price: float,
    source: str,
) -> list[Path]:
    """Write CAPACITY.md and the pictures of the first and the third outcome; return the files."""
    numbers = asdict(settings) | {
        "target": settings.target,
        "in_flight": pod.in_flight,
        "vcpus": pod.vcpus,
        "throughput": pod.throughput,
        "p50": 1000 * pod.p50,
        "p95": 1000 * pod.p95,
        "start": pod.start,
        "queue": pod.queue,
    }
    text = PAGE.format(table=_table(outcomes, pod, price), source=source, price=price, **numbers)
    folder.mkdir(parents=True, exist_ok=True)
    page = folder / "CAPACITY.md"
    page.write_text(text, encoding="utf-8")
    return [
        page,
        _picture(outcomes[0], folder / "capacity-day.png", 60),
        _picture(outcomes[2], folder / "capacity-burst.png", 1),
    ]


def _table(outcomes: Sequence[capacity.Outcome], pod: capacity.Pod, price: float) -> str:
    lines = [
        "| run | requests | pods (mean, most) | started | p95 ms | refused | cold | cost per million |",
        "|---|---|---|---|---|---|---|---|",
    ]
    random = np.random.default_rng(0)
    for one in outcomes:
        cost = one.pod_seconds / 3600 * pod.vcpus * price / max(one.served, 1) * 1e6
        total = one.served + one.refused
        p95 = capacity.quantile(one.waits, pod, random)
        lines.append(
            f"| {one.name} | {total:,} | {one.pod_seconds / len(one.ready):.1f}, {max(one.ready)} | {one.started} | "
            f"{1000 * p95:.0f} | {one.refused / max(total, 1):.2%} | {one.held:,} | {cost:.3f} |"
        )
    return "\n".join(lines)


def _picture(outcome: capacity.Outcome, path: Path, every: int) -> Path:
    import matplotlib as mpl
    from matplotlib.figure import Figure

    mpl.use("Agg")
    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.subplots(3, sharex=True)
    series: dict[str, Sequence[float]] = {
        "requests/s": outcome.rate,
        "ready pods": outcome.ready,
        "p95, ms": [1000 * one for one in outcome.p95],
    }
    unit, name = (3600, "hours") if every > 1 else (60, "minutes")
    for axis, (label, values) in zip(axes, series.items(), strict=True):
        times = np.arange(0, len(values), every) / unit
        axis.plot(times, np.asarray(values)[::every], linewidth=0.8, drawstyle="steps-post")
        axis.set_ylabel(label)
        axis.set_ylim(bottom=0)
    axes[-1].set_xlabel(name)
    figure.suptitle(f"Simulation: {outcome.name}")
    figure.savefig(path, dpi=80, metadata={"Software": None})
    return path
