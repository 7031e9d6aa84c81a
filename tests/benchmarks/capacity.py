"""A simulation, not a measurement: Knative's autoscaler over measured service times, for a day and for a burst.

python -m tests.benchmarks.capacity                                        # the published benchmark's numbers
python -m tests.benchmarks.capacity --results .local/bench/results.json    # those of `make bench`
python -m tests.benchmarks.capacity --price 0.05 --peak 3000 --start-seconds 40

Writes manifests/CAPACITY.md and two pictures beside it. Equal options give equal files.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray

from serving.settings import Settings
from tests.benchmarks.kpa import Kpa, KpaSettings, Window

MANIFESTS = Path(__file__).parents[2] / "manifests"
STEP = 0.1
"""Seconds."""
Curve = Callable[[float], float]
"""Seconds since the start → requests/s."""


@dataclass(frozen=True)
class Pod:
    """One pod, as measured: largest rate (requests/s), and latency (median, 95th percentile; s) at 70 % of it."""

    throughput: float
    p50: float
    p95: float
    vcpus: float
    start: float
    """Seconds from the decision to readiness."""
    queue: float = Settings.model_fields["queue_seconds"].default
    """The server's QUEUE_SECONDS: a request that would wait longer is refused with 503."""

    @property
    def sigma(self) -> float:
        """Of the log-normal distribution with that median and that 95th percentile (whose normal quantile is 1.645)."""
        return math.log(self.p95 / self.p50) / 1.645

    @property
    def mean_latency(self) -> float:
        """Mean of that distribution."""
        return self.p50 * math.exp(self.sigma**2 / 2)

    @property
    def in_flight(self) -> float:
        """Requests in flight at 70 % of the throughput, by Little's law."""
        return 0.7 * self.throughput * self.mean_latency


@dataclass
class Outcome:
    """The results of a run. Each series has one value per second."""

    name: str
    rate: list[float] = field(default_factory=list)
    ready: list[int] = field(default_factory=list)
    p95: list[float] = field(default_factory=list)
    served: int = 0
    refused: int = 0
    held: int = 0
    """Requests that came while no pod was ready: a cold start for them."""
    started: int = 0
    pod_seconds: float = 0
    waits: list[tuple[float, int]] = field(default_factory=list)
    """Wait beyond the measured latency (s), and how many requests had it."""


class Pods:
    """The pods of one revision: those that are ready, and when the others will be."""

    def __init__(self, first: int, start: float) -> None:
        """Start with `first` pods that are ready."""
        self.ready, self._start, self._starting = first, start, [0.0][:0]
        self.started = 0

    @property
    def count(self) -> int:
        """Pods that are paid for."""
        return self.ready + len(self._starting)

    def scale(self, now: float, wanted: int) -> None:
        """Start pods, or remove pods, beginning with those that are not ready yet."""
        if wanted > self.count:
            new = wanted - self.count
            self.started += new
            self._starting += [now + self._start] * new
        else:
            self._starting = self._starting[: max(0, wanted - self.ready)]
            self.ready = min(self.ready, wanted)

    def pass_time(self, now: float) -> None:
        """Let pods become ready."""
        due = sum(moment <= now for moment in self._starting)
        self.ready, self._starting = self.ready + due, self._starting[due:]


def simulate(name: str, curve: Curve, seconds: int, pod: Pod, settings: KpaSettings, seed: int) -> Outcome:
    """Run a queue that all ready pods share under Poisson arrivals; ask the autoscaler at each tick.

    A fluid queue in steps of STEP: what the pods cannot take in a step waits, and what would wait longer than the
    server allows is refused. Requests that find no ready pod wait in Knative's activator.
    """
    random, outcome = np.random.default_rng(seed), Outcome(name)
    kpa, stable, panic = Kpa(settings), Window(settings.stable_window), Window(settings.panic_window)
    pods, queue, idle_since = Pods(settings.min_scale, pod.start), 0.0, 0.0
    for second in range(seconds):
        rate = curve(second)
        pods.pass_time(second)
        in_flight, waits = 0.0, []
        for arrivals in random.poisson(rate * STEP, round(1 / STEP)).tolist():
            accepted, queue, wait = _pass_step(outcome, pod, pods.ready, queue, arrivals)
            waits.append((wait, accepted))
            in_flight += queue * STEP + accepted * pod.mean_latency
        outcome.waits += waits
        stable.add(in_flight)
        panic.add(in_flight)
        if second % round(settings.tick) == 0:
            wanted = kpa.decide(second, stable.mean, panic.mean, pods.ready).pods
            idle_since = idle_since if wanted == 0 else second
            if wanted or second - idle_since >= settings.scale_to_zero_grace:
                pods.scale(second, wanted)
        outcome.pod_seconds += pods.count
        outcome.rate.append(rate)
        outcome.ready.append(pods.ready)
        outcome.p95.append(quantile(waits, pod, random))
    outcome.started = pods.started
    return outcome


def _pass_step(outcome: Outcome, pod: Pod, ready: int, queue: float, arrivals: int) -> tuple[int, float, float]:
    """Return the requests accepted, the queue after the step, and the wait (s) of those accepted."""
    if ready == 0:
        outcome.held += arrivals
        outcome.served += arrivals
        return arrivals, queue + arrivals, pod.start
    power = ready * pod.throughput
    left = max(0.0, queue + arrivals - power * STEP)
    refused = min(arrivals, math.floor(max(0.0, left - power * pod.queue)))
    outcome.refused += refused
    outcome.served += arrivals - refused
    return arrivals - refused, left - refused, (left - refused) / power


def quantile(waits: list[tuple[float, int]], pod: Pod, random: np.random.Generator, share: float = 0.95) -> float:
    """Return a quantile of wait plus measured latency, in seconds, from 1,000 draws; nan where nothing came."""
    weights: NDArray[np.float64] = np.array([count for _, count in waits], dtype=float)
    if weights.sum() == 0:
        return math.nan
    chosen = random.choice([wait for wait, _ in waits], 1000, p=weights / weights.sum())
    return float(np.quantile(chosen + random.lognormal(math.log(pod.p50), pod.sigma, 1000), share))


def day(peak: float) -> Curve:
    """Requests/s over a day: a tenth of the peak at 02:00, and the peak at 14:00."""
    return lambda t: peak * (0.1 + 0.9 * ((1 + math.cos(2 * math.pi * (t / 3600 - 14) / 24)) / 2) ** 2)


def night_off(peak: float) -> Curve:
    """Requests/s of an office: none before 08:00 and after 18:00."""
    return lambda t: peak * max(0.0, math.sin(math.pi * (t / 3600 - 8) / 10)) if 8 <= t / 3600 < 18 else 0.0


def burst(base: float, factor: float) -> Curve:
    """Requests/s that rise by `factor` from one second to the next, for five minutes."""
    return lambda t: base * (factor if 600 <= t < 900 else 1)


def measured(results: Path | None, start: float) -> tuple[Pod, str]:
    """Return the pod of a results file of `make bench`, or the README's, and where its numbers come from."""
    if results is None:
        return Pod(1136, 0.0042, 0.0108, 2, start), "the README's benchmark"
    content = json.loads(results.read_text(encoding="utf-8"))
    most, steady = (content["measurements"][name] for name in ("single, 64 connections", "single, evenly at 70 %"))
    times = (steady["p50_ms"] / 1000, steady["p95_ms"] / 1000)
    return Pod(most["per_second"], *times, content["cores"], start), f"`make bench` of {content['created']}"


def main(
    results: Annotated[Path | None, typer.Option(help="results.json of `make bench`; default: the README's.")] = None,
    peak: Annotated[float, typer.Option(help="Requests/s at the day's peak.")] = 2000,
    burst_base: Annotated[float, typer.Option(help="Requests/s before the burst.")] = 200,
    burst_factor: Annotated[float, typer.Option(help="How many times as many in the burst.")] = 10,
    target: Annotated[float, typer.Option(help="Concurrency target of a pod; 0: by Little's law at 70 %.")] = 0,
    max_replicas: Annotated[int, typer.Option(help="Most pods, `maxReplicas`.")] = 20,
    start_seconds: Annotated[float, typer.Option(help="From the decision for a pod to its readiness.")] = 20,
    price: Annotated[float, typer.Option(help="Of a vCPU-hour, in any currency.")] = 0.04,
    hours: Annotated[int, typer.Option(help="How much of the day to simulate.")] = 24,
    seed: Annotated[int, typer.Option(help="Of the arrivals.")] = 0,
    output: Annotated[Path, typer.Option(help="Folder of CAPACITY.md and the pictures.")] = MANIFESTS,
) -> None:
    """Simulate and write the capacity page.

    Example: python -m tests.benchmarks.capacity --results .local/bench/results.json --price 0.05
    """
    from tests.benchmarks import capacity_page

    pod, source = measured(results, start_seconds)
    concurrency = target or max(1, round(pod.in_flight / KpaSettings().utilization))
    settings, zero, three = (KpaSettings(concurrency, min_scale=pods, max_scale=max_replicas) for pods in (1, 0, 3))
    outcomes = [
        simulate("day", day(peak), hours * 3600, pod, settings, seed),
        simulate("office hours, to zero at night", night_off(peak), hours * 3600, pod, zero, seed),
        simulate("burst", burst(burst_base, burst_factor), 1800, pod, settings, seed),
        simulate("burst, three pods kept", burst(burst_base, burst_factor), 1800, pod, three, seed),
    ]
    for path in capacity_page.write(output, outcomes, pod, settings, price, source):
        typer.echo(str(path))


if __name__ == "__main__":
    typer.run(main)
