"""Users who share batches equally: the next batch is of the user who has had the fewest tokens.

This is start-time fair queueing (Goyal, Vin and Cheng, SIGCOMM 1996) with equal weights. A user who comes back, or
comes for the first time, starts at the present of the others: nobody can save up a share, and nobody pays for the time
in which nobody else wanted the engine. `users_finish` says when requests are done that are served in this way.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from serving.inference.jobs import Batch, CutJob, Job

_MAX_FORMER_USERS: Final = 64
"""How many users without waiting jobs are remembered before those that the present has passed are forgotten."""


class FairLane:
    """Cut jobs in the order in which their users take turns. Not thread-safe: the owner holds a lock.

    Example: `lane.push(CutJob(job, batches), ticket=1)`, then `lane.pop(ticket=2)` is the first of `batches`.
    """

    def __init__(self) -> None:
        self._jobs: dict[str, deque[CutJob]] = {}
        self._tickets: dict[str, int] = {}
        self._had: dict[str, int] = {}
        self._present = 0

    def __bool__(self) -> bool:
        """Whether a batch waits."""
        return bool(self._jobs)

    @property
    def users(self) -> int:
        """The number of users who have a batch waiting."""
        return len(self._jobs)

    @property
    def next_ticket(self) -> int:
        """The ticket that the user whose turn is next has had since the user's last turn."""
        return self._tickets[self._next()]

    def jobs_of(self, user: str) -> int:
        """Return how many jobs of a user wait."""
        return len(self._jobs.get(user, ()))

    def push(self, job: CutJob, ticket: int) -> None:
        """Add a job. `ticket` is its place in the order of arrival."""
        user = job.job.sender.user
        if not self._jobs:
            self._had, self._present = {}, 0
        if user not in self._jobs:
            self._jobs[user] = deque()
            self._tickets[user] = ticket
            self._had[user] = max(self._had.get(user, 0), self._present)
        self._jobs[user].append(job)

    def pop(self, ticket: int) -> Batch:
        """Return the next batch of the user who has had the fewest tokens; the user's jobs take turns.

        `ticket` is the user's new place in the order of arrival.
        """
        user = self._next()
        jobs = self._jobs[user]
        job = jobs.popleft()
        batch = job.batches.popleft()
        if job.batches:
            jobs.append(job)
        self._present = self._had[user]
        self._had[user] += sum(row.tokens for row in batch)
        self._tickets[user] = ticket
        if not jobs:
            self._leave(user)
        return batch

    def remove(self, job: Job) -> int:
        """Remove a job; return how many texts of it waited."""
        user = job.sender.user
        waiting = [cut for cut in self._jobs.get(user, ()) if cut.job is job]
        for cut in waiting:
            self._jobs[user].remove(cut)
        if waiting and not self._jobs[user]:
            self._leave(user)
        return sum(len(batch) for cut in waiting for batch in cut.batches)

    def _next(self) -> str:
        return min(self._jobs, key=lambda user: (self._had[user], self._tickets[user]))

    def _leave(self, user: str) -> None:
        del self._jobs[user], self._tickets[user]
        if len(self._had) > len(self._jobs) + _MAX_FORMER_USERS:
            self._had = {user: had for user, had in self._had.items() if user in self._jobs or had > self._present}


def shared_finish(work: Sequence[float] | NDArray[np.float64]) -> NDArray[np.float64]:
    """Return when each of n jobs finishes that share one server equally, in the unit of `work`.

    Job i has finished when every other job has had as much as it, or all of its own work: the sum over j of
    min(work_j, work_i) (processor sharing without further arrivals).
    """
    amounts = np.asarray(work, dtype=np.float64)
    return _time_of(amounts, amounts)


def users_finish(work: Sequence[float], users: Sequence[str]) -> NDArray[np.float64]:
    """Return when each of n jobs finishes if the users share one server equally, and each user's jobs the user's share.

    Within a user, job i has finished when the user has had `shared_finish` of the user's jobs. Among the users, a user
    has had s when each other one has had s as well, or all of the other's own work.
    """
    amounts, had = np.asarray(work, dtype=np.float64), np.empty(len(work))
    members: dict[str, list[int]] = {}
    for index, user in enumerate(users):
        members.setdefault(user, []).append(index)
    totals = np.array([amounts[indices].sum() for indices in members.values()])
    for indices in members.values():
        had[indices] = shared_finish(amounts[indices])
    return _time_of(had, totals)


def _time_of(had: NDArray[np.float64], work: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return, for each amount in `had`, the sum over j of min(work_j, amount)."""
    ascending = np.sort(work)
    finished = np.searchsorted(ascending, had)
    done = np.concatenate(([0.0], np.cumsum(ascending)))
    return done[finished] + had * (len(work) - finished)
