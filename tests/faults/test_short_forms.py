"""`make fuzz` and `make soak` in their short forms, and that they notice what they are there for."""

from __future__ import annotations

import random
from pathlib import Path

from tests.faults import fuzz, soak

_STALL_SECONDS = 0.5
"""`make fuzz` asks for 0.1 s on idle cores; tests run beside others."""


def test_four_thousand_malformed_requests_are_refused_in_few_words(tmp_path: Path) -> None:
    found, stalls = fuzz.run(tmp_path, 4_000)
    assert found.faults == []
    assert {"200", "400", "404", "405", "grpc OK", "grpc INVALID_ARGUMENT", "raw"} <= set(found.outcomes)
    assert found.longest_error <= fuzz.MAX_ERROR_BYTES
    assert max(stalls, default=0.0) < _STALL_SECONDS


def test_a_server_keeps_no_descriptor_and_little_memory_of_half_a_minute_of_load(tmp_path: Path) -> None:
    found = soak.run(tmp_path, 30, attacks=False)
    assert found.faults == []
    assert set(found.statuses) == {"200"}
    assert found.descriptors_after <= found.descriptors_before
    assert found.mib[-1] - found.mib[len(found.mib) // 3] < 20


def test_an_answer_that_is_no_refusal_and_a_long_one_are_faults() -> None:
    found = fuzz.Findings()
    for status, size in ((503, 100), (504, 100), (400, fuzz.MAX_ERROR_BYTES), (200, 10**6)):
        found.reply(status, size, b"")
    assert found.faults == []
    found.reply(500, 100, b"")
    found.reply(400, fuzz.MAX_ERROR_BYTES + 1, b"")
    assert len(found.faults) == 2


def test_the_same_seed_sends_the_same_requests() -> None:
    first, second, other = (fuzz.http_request(random.Random(seed)) for seed in (1, 1, 2))
    assert first == second != other


def test_memory_that_grows_has_a_slope() -> None:
    growing = [100 + second / 60 for second in range(600)]
    assert soak.Soaked(growing, 10, 10, {}, []).slope_mib > 15
    assert abs(soak.Soaked([100.0] * 600, 10, 10, {}, []).slope_mib) < 0.01


def test_what_an_attack_holds_while_it_lasts_is_no_growth() -> None:
    chosen = random.Random(0)
    spikes = [350.0 + (chosen.uniform(0, 400) if second % 8 < 5 else 0) for second in range(1_200)]
    assert abs(soak.Soaked(spikes, 10, 10, {}, []).slope_mib) < 0.01
    leaking = [mib + second * 2 / 1_200 for second, mib in enumerate(spikes)]
    assert soak.Soaked(leaking, 10, 10, {}, []).slope_mib > soak.MAX_SLOPE_MIB
