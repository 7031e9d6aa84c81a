"""Limits the requests of each user in one or more moving windows: exact in any window of their length.

With Redis, one script on the clock of the Redis server decides for every replica. Each replica also counts what it
has allowed, and decides by its own counts while Redis is away.
"""

from __future__ import annotations

import time
from bisect import bisect_right
from collections import OrderedDict, deque
from collections.abc import Sequence
from hashlib import blake2b
from math import isfinite
from typing import Any, Final, NamedTuple

from limits import parse_many

from serving.settings import Settings
from serving.state.redis_link import RedisLink, RedisUnavailable
from serving.telemetry import metrics

_MOVING_WINDOWS: Final = """
local now = redis.call('TIME')
now = now[1] + now[2] / 1000000
local key, longest = KEYS[1], tonumber(ARGV[2])
local oldest = redis.call('LINDEX', key, -1)
while oldest and tonumber(oldest) <= now - longest do
  redis.call('RPOP', key)
  oldest = redis.call('LINDEX', key, -1)
end
local newest = redis.call('LINDEX', key, 0)
while newest and tonumber(newest) > now do
  redis.call('LPOP', key)
  newest = redis.call('LINDEX', key, 0)
end
local total = redis.call('LLEN', key)
local function hits(window)
  local low, high = 0, total
  while low < high do
    local middle = math.floor((low + high) / 2)
    if tonumber(redis.call('LINDEX', key, middle)) > now - window then low = middle + 1 else high = middle end
  end
  return low
end
local used, allowed = {}, 1
for i = 1, #ARGV, 2 do
  used[i] = (i == 1) and total or hits(tonumber(ARGV[i + 1]))
  if used[i] >= tonumber(ARGV[i]) then allowed = 0 end
end
local reply = {allowed}
for i = 1, #ARGV, 2 do
  local first = (used[i] > 0) and tonumber(redis.call('LINDEX', key, used[i] - 1)) or now
  reply[#reply + 1] = tonumber(ARGV[i]) - used[i] - allowed
  reply[#reply + 1] = tostring(first + tonumber(ARGV[i + 1]) - now)
end
if allowed == 1 then
  redis.call('LPUSH', key, string.format('%.6f', now))
  redis.call('EXPIRE', key, math.ceil(longest))
end
return reply
"""
"""Arguments: the limit and the seconds of each window, the longest first. The times of the hits inside the longest
window are in one list per user, newest first; those that lie ahead, after the clock was set back, are dropped. The
reply: whether the hit is allowed, then for each window the hits that remain and the seconds until the oldest hit
leaves it."""

_COUNTERS: Final = {
    (allowed, source): metrics.RATE_LIMIT_DECISIONS.series("allowed" if allowed else "refused", source)
    for allowed in (True, False)
    for source in ("local", "redis")
}
"""The counter of each kind of decision: a look-up by label names would cost more than the decision."""

_MAX_USERS: Final = 100_000
"""The number of users that a replica counts; beyond it, the user that was not seen for longest is forgotten."""


class Window(NamedTuple):
    """At most `limit` hits in any `seconds` seconds."""

    limit: int
    seconds: float


class Decision(NamedTuple):
    """The limiter's answer to one request: that of the window in which the fewest hits remain."""

    allowed: bool
    limit: int
    remaining: int
    """The number of further requests that are allowed now."""
    reset_seconds: float
    """The time until the oldest counted request leaves the window; if none remains, until one more is allowed."""


class MovingWindows:
    """The counts of one replica: for each user the times of the hits inside the longest window, oldest first.

    Example: `MovingWindows([Window(100, 60)]).hit("anna", time.monotonic()).allowed`.
    """

    def __init__(self, windows: Sequence[Window]) -> None:
        """A hit is allowed if every window has room for it."""
        self._windows = sorted(windows, key=lambda window: -window.seconds)
        self._longest = self._windows[0].seconds
        self._most_hits = max(window.limit for window in windows)
        self._hits: OrderedDict[str, deque[float]] = OrderedDict()

    def hit(self, user: str, now: float) -> Decision:
        """Decide, and count the hit if it is allowed; `now` in seconds of any steady clock."""
        hits = self._current(user, now)
        if len(self._windows) == 1:
            return _hit_one(hits, self._windows[0], now)
        used = [self._used(hits, window, now) for window in self._windows]
        allowed = all(count < window.limit for count, window in zip(used, self._windows, strict=True))
        answers = []
        for count, window in zip(used, self._windows, strict=True):
            first = hits[len(hits) - count] if count else now
            answers.append((window.limit - count - allowed, first + window.seconds - now))
        if allowed:
            hits.append(now)
        return tightest(allowed, self._windows, answers)

    def record(self, user: str, now: float) -> None:
        """Count a hit that was allowed by Redis."""
        hits = self._current(user, now)
        if len(hits) < self._most_hits:
            hits.append(now)

    def _used(self, hits: deque[float], window: Window, now: float) -> int:
        if window.seconds == self._longest:
            return len(hits)
        return len(hits) - bisect_right(hits, now - window.seconds)

    def _current(self, user: str, now: float) -> deque[float]:
        hits = self._hits.setdefault(user, deque())
        self._hits.move_to_end(user)
        if len(self._hits) > _MAX_USERS:
            self._hits.popitem(last=False)
        while hits and hits[0] <= now - self._longest:
            hits.popleft()
        return hits


def _hit_one(hits: deque[float], window: Window, now: float) -> Decision:
    """Decide as `MovingWindows.hit` does, for its only window: one limit is what nearly every server has."""
    allowed = len(hits) < window.limit
    first = hits[0] if hits else now
    if allowed:
        hits.append(now)
    return Decision(allowed, window.limit, window.limit - len(hits), first + window.seconds - now)


class _Allowance:
    """One setting of limits, and the counts of the users that it holds for."""

    def __init__(self, text: str) -> None:
        self.windows = parse_windows(text)
        self.local = MovingWindows(self.windows)
        self.arguments = [number for window in self.windows for number in window]


class RateLimiter:
    """Decides for one server, together with the other servers on the same Redis."""

    def __init__(self, settings: Settings) -> None:
        """Raises ValueError unless `RATE_LIMIT` is `off`, or one or more limits like `100/minute`."""
        self._link: RedisLink | None = None
        self._allowances: dict[str, _Allowance | None] = {"off": None}
        self._default = self._allowance(settings.rate_limit)
        if settings.rate_limit_redis_url:
            url = settings.rate_limit_redis_url.get_secret_value()
            self._link = RedisLink(url, "limiter", settings.redis_timeout_seconds)

    def _allowance(self, text: str) -> _Allowance | None:
        if text not in self._allowances:
            self._allowances[text] = _Allowance(text)
        return self._allowances[text]

    async def hit(self, user: str, rate_limit: str | None = None) -> Decision | None:
        """Count one request of the user and decide on it; None if the user is not limited.

        `rate_limit` is the user's own allowance in the syntax of RATE_LIMIT, None for RATE_LIMIT itself.
        """
        allowance = self._default if rate_limit is None else self._allowance(rate_limit)
        if allowance is None:
            return None
        now = time.monotonic()
        if self._link is None or self._link.paused:
            decision, source = allowance.local.hit(user, now), "local"
        else:
            decision, source = await self._shared(self._link, allowance, user, now)
        _COUNTERS[decision.allowed, source].inc()
        return decision

    async def close(self) -> None:
        """Disconnect from Redis."""
        if self._link:
            await self._link.close()

    async def _shared(self, link: RedisLink, allowance: _Allowance, user: str, now: float) -> tuple[Decision, str]:
        key = f"sentiment:limit:{blake2b(user.encode(), digest_size=16).hexdigest()}"
        try:
            reply = await link.send("EVAL", _MOVING_WINDOWS, 1, key, *allowance.arguments)
            decision = _decision(reply, allowance.windows)
        except (RedisUnavailable, TypeError, ValueError):  # no answer, or one that the script cannot have given
            return allowance.local.hit(user, now), "local"
        if decision.allowed:
            allowance.local.record(user, now)
        return decision, "redis"


def _decision(reply: Any, windows: Sequence[Window]) -> Decision:
    """Return the decision of the script. Raises TypeError or ValueError for a reply of another form."""
    allowed, *answers = reply
    pairs = [(int(remaining), float(reset)) for remaining, reset in zip(answers[::2], answers[1::2], strict=True)]
    if not all(isfinite(reset) for _, reset in pairs):
        raise ValueError("the time until the reset is not finite")
    return tightest(bool(allowed), windows, pairs)


def tightest(allowed: bool, windows: Sequence[Window], answers: Sequence[tuple[int, float]]) -> Decision:
    """Return the decision by the window with the fewest remaining hits; of several, that which resets last.

    `answers` are the remaining hits and the seconds until the reset of each window.
    """
    if len(windows) == 1:
        ((remaining, reset),) = answers
        return Decision(allowed, windows[0].limit, remaining, reset)
    remaining, negative_reset, limit = min(
        (remaining, -reset, window.limit) for window, (remaining, reset) in zip(windows, answers, strict=True)
    )
    return Decision(allowed, limit, remaining, -negative_reset)


def parse_windows(text: str) -> list[Window]:
    """Return the windows of limits such as `1000/hour;5/second`, the longest first.

    The syntax is that of the `limits` library. Raises ValueError for anything else.
    """
    try:
        items = parse_many(text)
    except ValueError as error:
        raise ValueError(
            f"RATE_LIMIT is {text!r}; expected `off`, a limit like 100/minute, or several like 1000/hour;5/second"
        ) from error
    return sorted((Window(item.amount, item.get_expiry()) for item in items), key=lambda window: -window.seconds)
