"""How many requests a user may make: a moving window, exact in any window of its length.

With Redis one script on the server's own clock decides for every replica. Each replica keeps the same books
for what it has allowed, and decides by them alone while Redis is away.
"""

from __future__ import annotations

import time
from collections import OrderedDict, deque
from hashlib import blake2b
from typing import Final, NamedTuple

from limits import parse

from serving import metrics
from serving.redis_link import RedisLink, RedisUnavailable
from serving.settings import Settings

_MOVING_WINDOW: Final = """
local now = redis.call('TIME')
now = now[1] + now[2] / 1000000
local key, limit, window = KEYS[1], tonumber(ARGV[1]), tonumber(ARGV[2])
local oldest = redis.call('LINDEX', key, -1)
while oldest and tonumber(oldest) <= now - window do
  redis.call('RPOP', key)
  oldest = redis.call('LINDEX', key, -1)
end
local used = redis.call('LLEN', key)
local allowed = 0
if used < limit then
  allowed = 1
  used = used + 1
  redis.call('LPUSH', key, string.format('%.6f', now))
  redis.call('EXPIRE', key, math.ceil(window))
end
return {allowed, limit - used, tostring((tonumber(oldest) or now) + window - now)}
"""
"""The times of the hits inside the window, newest first, in one list a user."""

_COUNTERS: Final = {
    (allowed, source): metrics.RATE_LIMIT_DECISIONS.series("allowed" if allowed else "refused", source)
    for allowed in (True, False)
    for source in ("local", "redis")
}
"""The counter of each kind of decision: a look-up by label names is dearer than the decision."""

_MAX_USERS: Final = 100_000
"""Users in this replica's books; past it the one not seen for longest is forgotten."""


class Decision(NamedTuple):
    """The limiter's answer to one request."""

    allowed: bool
    limit: int
    remaining: int
    reset_seconds: float
    """Until the oldest request counted leaves the window: until one more is allowed, where none remains."""


class MovingWindow:
    """One replica's books: for each user the times of the hits inside the window, oldest first."""

    def __init__(self, limit: int, window: float) -> None:
        """Allow `limit` hits in any `window` seconds."""
        self._limit = limit
        self._window = window
        self._hits: OrderedDict[str, deque[float]] = OrderedDict()

    def hit(self, user: str, now: float) -> Decision:
        """Decide, and count the hit where it is allowed; `now` in seconds of any steady clock."""
        hits = self._current(user, now)
        allowed = len(hits) < self._limit
        if allowed:
            hits.append(now)
        return Decision(allowed, self._limit, self._limit - len(hits), hits[0] + self._window - now)

    def record(self, user: str, now: float) -> None:
        """Count a hit that was allowed elsewhere."""
        hits = self._current(user, now)
        if len(hits) < self._limit:
            hits.append(now)

    def _current(self, user: str, now: float) -> deque[float]:
        hits = self._hits.setdefault(user, deque())
        self._hits.move_to_end(user)
        if len(self._hits) > _MAX_USERS:
            self._hits.popitem(last=False)
        while hits and hits[0] <= now - self._window:
            hits.popleft()
        return hits


class RateLimiter:
    """Decides for one server, together with the others on the same Redis."""

    def __init__(self, settings: Settings) -> None:
        """Raises ValueError where `RATE_LIMIT` is neither `off` nor like `100/minute`."""
        self._link: RedisLink | None = None
        self._local: MovingWindow | None = None
        if settings.rate_limit == "off":
            return
        item = _parse(settings.rate_limit)
        self._limit, self._window = item
        self._local = MovingWindow(*item)
        if settings.rate_limit_redis_url:
            url = settings.rate_limit_redis_url.get_secret_value()
            self._link = RedisLink(url, "limiter", settings.redis_timeout_seconds)

    async def hit(self, user: str) -> Decision | None:
        """Count one request of the user and decide on it; None where limiting is off."""
        if self._local is None:
            return None
        now = time.monotonic()
        if self._link is None or self._link.open:
            decision, source = self._local.hit(user, now), "local"
        else:
            decision, source = await self._shared(self._link, self._local, user, now)
        _COUNTERS[decision.allowed, source].inc()
        return decision

    async def close(self) -> None:
        """Disconnect."""
        if self._link:
            await self._link.close()

    async def _shared(self, link: RedisLink, local: MovingWindow, user: str, now: float) -> tuple[Decision, str]:
        key = f"sentiment:limit:{blake2b(user.encode(), digest_size=16).hexdigest()}"
        try:
            allowed, remaining, reset = await link.send("EVAL", _MOVING_WINDOW, 1, key, self._limit, self._window)
        except RedisUnavailable:
            return local.hit(user, now), "local"
        if allowed:
            local.record(user, now)
        return Decision(bool(allowed), self._limit, remaining, float(reset)), "redis"


def _parse(text: str) -> tuple[int, int]:
    """Return the hits and the seconds of a limit such as `100/minute`, in the syntax of the `limits`
    library."""
    try:
        item = parse(text)
    except ValueError as error:
        raise ValueError(f"RATE_LIMIT is {text!r}; expected `off` or a limit like 100/minute") from error
    return item.amount, item.get_expiry()
