"""Request ids: 32 hex digits, never the same twice."""

from __future__ import annotations

import re
from itertools import islice

from serving.api.request import request_ids


def test_ids_are_128_bits_in_hex_and_differ_across_and_within_servers() -> None:
    one, other = request_ids(), request_ids()
    found = [*islice(one, 1_000), *islice(other, 1_000)]
    assert all(re.fullmatch("[0-9a-f]{32}", value) for value in found)
    assert len(set(found)) == 2_000
