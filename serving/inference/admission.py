"""Decides at once which requests are accepted: an early refusal costs a client less than an answer that is too late.

An online request is accepted while the queue before it is short. A bulk request is accepted when it, and every bulk
request that has been accepted before, is expected to finish before its deadline, and when its user leaves room for
others.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from serving.errors import Overloaded
from serving.inference.fair_lane import users_finish
from serving.inference.jobs import ANYBODY, BatchLimits, Sender
from serving.inference.queue import BULK_SHARE, Ahead
from serving.settings import Settings
from serving.telemetry import metrics

_MIN_QUEUE_TEXTS: Final = 32
"""Online texts per worker that may always wait, however slow the machine seems. Without them a moment of slowness
could last: refused clients come back at once, and answering them takes the time that inference needs."""

_INITIAL_SPEED: Final = (0.02, 200.0)
"""Seconds and tokens of one batch, assumed until batches have been measured."""

_SPEED_DECAY: Final = 0.9
"""The weight of earlier batches in the measured speed falls by this factor with each batch."""

_BULK_DECAY: Final = 0.98
"""The same for the speed of bulk batches, and for the share of the engine's time that they get."""

_SPEED_SECONDS: Final = 10.0
"""A speed that was measured longer ago does not refuse a bulk request that would be the only one: a machine that was
slow once would otherwise refuse such requests for ever, without measuring again."""

_BULK_ROOM: Final = 7 / 8
"""Bulk requests may fill this part of the queue; the rest is left for online requests."""

_USER_SHARE: Final = 4
"""A user's bulk requests may hold so many times the room that they leave free: four fifths of it for one user, four
ninths for each of two. The next user always finds room (dynamic thresholds: Choudhury and Hahne, 1998)."""

_MAX_BULK: Final = 1_000
"""The most bulk requests that may wait. The decision on a new one looks at each of them, 0.2 ms for a thousand."""

_MARGIN: Final = 0.9
"""A bulk request must be expected to finish within this part of the time that it has."""

_CHARS_PER_TOKEN: Final = 4
"""The estimate of a text's tokens before it is tokenised: English has about four characters a token."""


@dataclass(eq=False, slots=True)
class Load:
    """The work that one accepted request has left."""

    texts: int
    """The number of texts of the request."""
    tokens: int
    """The tokens that have not been computed, estimated until the texts are tokenised."""
    deadline: float
    """The deadline of the request in the event loop's time; infinity if it has none."""
    bulk: bool
    """Whether the request is a bulk request."""
    sender: Sender = ANYBODY
    """Who the request is from, and how urgent it is."""


def estimated_tokens(texts: Sequence[str]) -> int:
    """Return the expected number of tokens of texts, special tokens included."""
    return sum([len(text) // _CHARS_PER_TOKEN + 2 for text in texts])


class Admission:
    """Knows the accepted work and the measured speed. Belongs to one event loop."""

    def __init__(self, settings: Settings, limits: BatchLimits, threads: int) -> None:
        """`threads` workers compute the batches."""
        self._settings = settings
        self._limits = limits
        self._threads = threads
        self._min_queue_texts = _MIN_QUEUE_TEXTS * threads
        self._speed = _INITIAL_SPEED
        self._measured_at = -math.inf
        self._bulk_speed = _INITIAL_SPEED
        self._bulk_share = (1.0, 1.0)
        self._bulk: set[Load] = set()
        self.texts = 0
        """Texts of accepted requests that have no answer yet."""
        self.tokens = 0
        """Tokens of accepted requests that have no answer yet, those of finished batches included."""

    def seconds(self, tokens: float) -> float:
        """Return how long all workers together are expected to need for `tokens` tokens."""
        seconds, measured = self._speed
        return tokens * seconds / measured / self._threads

    def measure(self, tokens: int, seconds: float, now: float, load: Load | None) -> None:
        """Note that a batch of `tokens` tokens took `seconds`; `load` is its request if that is a bulk request."""
        total, read = self._speed
        self._speed = (_SPEED_DECAY * total + seconds, _SPEED_DECAY * read + tokens)
        if self._bulk:
            bulk, both = self._bulk_share
            self._bulk_share = (_BULK_DECAY * bulk + (seconds if load else 0), _BULK_DECAY * both + seconds)
        if load:
            total, read = self._bulk_speed
            self._bulk_speed = (_BULK_DECAY * total + seconds, _BULK_DECAY * read + tokens)
            self._measured_at = now
            load.tokens -= tokens
            self.tokens -= tokens

    def admit(self, texts: Sequence[str], deadline: float, now: float, ahead: Ahead, sender: Sender = ANYBODY) -> Load:
        """Return the accepted load of a request; `release` ends it.

        `ahead` is the work before an online request of this sender that arrives `now`. Raises Overloaded if the request
        would wait too long.
        """
        tokens = estimated_tokens(texts)
        load = Load(len(texts), tokens, deadline, self._limits.bulk(tokens, sender.priority), sender)
        self._check_room(load)
        if load.bulk:
            self._check_deadlines(load, now)
        else:
            self._check_wait(load, ahead, deadline - now)
        self._account(load, 1)
        return load

    def tokenised(self, load: Load, tokens: int) -> None:
        """Replace the estimate of an accepted load. Raises Overloaded if the queue has no room for so many tokens."""
        self._account(load, -1)
        load.tokens, load.bulk = tokens, self._limits.bulk(tokens, load.sender.priority)
        try:
            self._check_room(load)
        finally:
            self._account(load, 1)

    def release(self, load: Load) -> None:
        """End a load: its request has been answered or given up."""
        self._account(load, -1)

    def _account(self, load: Load, sign: int) -> None:
        self.texts += sign * load.texts
        self.tokens += sign * load.tokens
        if load.bulk:
            (self._bulk.add if sign > 0 else self._bulk.discard)(load)

    def _check_room(self, load: Load) -> None:
        room = _BULK_ROOM if load.bulk else 1.0
        most_texts, most_tokens = self._settings.queue_texts, self._settings.queue_tokens
        if self.texts + load.texts > room * most_texts or self.tokens + load.tokens > room * most_tokens:
            raise _refusal(
                f"{self.texts} texts with about {self.tokens} tokens wait; at most {most_texts} texts and "
                f"{most_tokens} tokens may wait",
                self.seconds(self.tokens),
            )
        if load.bulk:
            self._check_share(load, room * most_texts - self.texts, room * most_tokens - self.tokens)

    def _check_share(self, load: Load, free_texts: float, free_tokens: float) -> None:
        """Raise Overloaded if the bulk requests of one user would leave too little room for other users."""
        own = [other for other in self._bulk if other.sender.user == load.sender.user]
        wanted = (
            (len(own) + 1, _MAX_BULK - len(self._bulk) - 1),
            (load.texts + sum(other.texts for other in own), free_texts - load.texts),
            (load.tokens + sum(other.tokens for other in own), free_tokens - load.tokens),
        )
        if len(self._bulk) >= _MAX_BULK or (own and any(held > _USER_SHARE * free for held, free in wanted)):
            raise _refusal(
                f"{len(own)} bulk requests of this user wait among {len(self._bulk)}; wait for one of them",
                self.seconds(min((other.tokens for other in own), default=load.tokens)),
            )

    def _check_wait(self, load: Load, ahead: Ahead, time_left: float) -> None:
        cut = load.tokens > self._limits.tokens
        texts, tokens = ahead.texts, ahead.tokens
        if cut:
            texts, tokens = texts + ahead.turns * self._limits.texts, tokens + ahead.turns * self._limits.tokens
        wait, longest = self.seconds(tokens), self._settings.queue_seconds
        if self._limits.bulk(load.tokens) and self.texts and wait + self.seconds(load.tokens) > time_left:
            raise _refusal(
                f"this request of {load.texts} texts would take about {wait + self.seconds(load.tokens):.0f} s, and "
                f"its deadline is in {time_left:.0f} s: send fewer texts",
                wait,
            )
        if wait <= min(longest, time_left) or texts < self._min_queue_texts:
            return
        raise _refusal(
            f"{self.texts} texts wait, about {wait:.2f} s of work before this request; at most {longest} s are allowed",
            wait,
        )

    def _check_deadlines(self, new: Load, now: float) -> None:
        others = list(self._bulk)
        if not others and now - self._measured_at > _SPEED_SECONDS:
            return
        # Small batches take longer for a token, so that only bulk batches tell the pace of bulk requests.
        (seconds, tokens), (bulk, both) = self._bulk_speed, self._bulk_share
        pace = seconds / tokens / self._threads / max(bulk / both, 1 / BULK_SHARE) / _MARGIN
        work, users = [load.tokens for load in others], [load.sender.user for load in others]
        before = users_finish(work, users) * pace
        after = users_finish([*work, new.tokens], [*users, new.sender.user]) * pace
        if after[-1] > new.deadline - now:
            raise _refusal(
                f"this request of {new.texts} texts would take about {after[-1]:.0f} s beside {len(others)} other bulk "
                f"requests, and its deadline is in {new.deadline - now:.0f} s: send fewer texts",
                after[-1] - (new.deadline - now),
            )
        for load, alone, together in zip(others, before, after[:-1], strict=True):
            if alone <= load.deadline - now < together:
                raise _refusal(
                    f"this request of {new.texts} texts would keep another bulk request from meeting its deadline",
                    together - (load.deadline - now),
                )


def _refusal(reason: str, retry_after: float) -> Overloaded:
    metrics.OVERLOADED.inc()
    return Overloaded(f"{reason}: try again later", retry_after=retry_after)
