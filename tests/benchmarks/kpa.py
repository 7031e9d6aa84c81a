"""Knative's pod autoscaler (KPA): the decision of one tick, as pure arithmetic.

The formulas are those of knative/serving: `pkg/autoscaler/scaling/autoscaler.go` (Scale), `pkg/reconciler/autoscaling/
resources/target.go` (the target), and the defaults of `config/core/configmaps/autoscaler.yaml`.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field


@dataclass(frozen=True)
class KpaSettings:
    """The values of `config-autoscaler`, with Knative's defaults, and those that a revision sets by annotation."""

    concurrency: float = 100
    """Requests in flight that a pod is to take: `autoscaling.knative.dev/target`, KServe's `scaleTarget`."""
    min_scale: int = 1
    max_scale: int = 20
    utilization: float = 0.7
    """`container-concurrency-target-percentage`."""
    burst_capacity: float = 211
    """`target-burst-capacity`."""
    stable_window: float = 60
    panic_window: float = 6
    """`panic-window-percentage` 10 of the stable window."""
    panic_threshold: float = 2
    """`panic-threshold-percentage` 200."""
    max_scale_up_rate: float = 1000
    max_scale_down_rate: float = 2
    tick: float = 2
    scale_to_zero_grace: float = 30

    @property
    def target(self) -> float:
        """Requests in flight per pod that are aimed at: max(1, concurrency x utilization)."""
        return max(1.0, self.concurrency * self.utilization)


@dataclass(frozen=True)
class Decision:
    """The number of pods that one tick asks for."""

    pods: int
    panicking: bool
    excess_burst: int
    """Excess burst capacity; below zero the activator stays in the request path."""


@dataclass
class Kpa:
    """The autoscaler of one revision: the panic state between ticks."""

    settings: KpaSettings
    _panicking_since: float | None = field(default=None, init=False)
    _most_in_panic: int = field(default=0, init=False)

    def decide(self, now: float, stable: float, panic: float, ready: int) -> Decision:
        """Return the decision at `now` (s) for the mean requests in flight, of all pods, over both windows."""
        limits, pods = self.settings, max(1, ready)
        most, fewest = math.ceil(limits.max_scale_up_rate * pods), math.floor(pods / limits.max_scale_down_rate)
        wanted = math.ceil(panic / limits.target)
        by_stable = min(max(math.ceil(stable / limits.target), fewest), most)
        by_panic = min(max(wanted, fewest), most)
        self._note_panic(now, over=wanted / pods >= limits.panic_threshold)
        desired = by_stable
        if self._panicking_since is not None:
            self._most_in_panic = max(self._most_in_panic, by_stable, by_panic)
            desired = self._most_in_panic
        bounded = min(max(desired, limits.min_scale), limits.max_scale)
        excess = math.floor(ready * limits.concurrency - limits.burst_capacity - panic)
        return Decision(bounded, self._panicking_since is not None, excess)

    def _note_panic(self, now: float, *, over: bool) -> None:
        if over:
            self._panicking_since = now
        elif self._panicking_since is not None and self._panicking_since + self.settings.stable_window < now:
            self._panicking_since, self._most_in_panic = None, 0


class Window:
    """The mean of one value a second over the last `seconds`, or over what there is so far."""

    def __init__(self, seconds: float) -> None:
        """Start empty."""
        self._values: deque[float] = deque(maxlen=round(seconds))

    def add(self, value: float) -> None:
        """Add the next second's value."""
        self._values.append(value)

    @property
    def mean(self) -> float:
        """The mean; 0 where there is nothing yet."""
        return sum(self._values) / len(self._values) if self._values else 0.0
