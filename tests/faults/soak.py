"""A server under every kind of load for a long time: what it keeps of memory and descriptors. `make soak`.

python -m tests.faults.soak                       20 minutes on the engine without weights
python -m tests.faults.soak --bundle FOLDER --minutes 5
"""

from __future__ import annotations

import asyncio
import json
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Annotated, Any, Final

import httpx
import numpy as np
import psutil
import typer

from tests.benchmarks.attacks import ATTACKS
from tests.benchmarks.neighbours import write_own_texts
from tests.benchmarks.servers import Server, fake_engine, predictor
from tests.faults.fuzz import Findings, grpc, raw, rest

MAX_SLOPE_MIB: Final = 1.0
"""The most that the memory that a server keeps may grow in 20 minutes."""
_CYCLE_SAMPLES: Final = 120
"""Every kind of load comes at least once in so many samples. The lowest one shows what the server keeps, because an
attack holds hundreds of mebibytes while it lasts."""
_RUN_MINUTES: Final = 20.0
_SAMPLE_SECONDS: Final = 1.0
_ATTACK_SECONDS: Final = 4.0
_SETTLE_SECONDS: Final = 40.0


@dataclass(frozen=True)
class Soaked:
    """What a run left behind."""

    mib: list[float]
    """Resident memory in MiB, once a second."""
    descriptors_before: int
    descriptors_after: int
    statuses: dict[str, int]
    """What the steady client saw."""
    faults: list[str]

    @property
    def kept_mib(self) -> list[float]:
        """The memory that the server keeps, in each cycle of the last two thirds: the lowest sample."""
        late = self.mib[len(self.mib) // 3 :]
        size = min(_CYCLE_SAMPLES, max(1, len(late) // 4))
        return [min(late[start : start + size]) for start in range(0, len(late) - size + 1, size)]

    @property
    def slope_mib(self) -> float:
        """The growth of that memory in 20 minutes, by the line through the cycles."""
        kept = self.kept_mib
        samples = len(self.mib) * 2 / 3 / max(1, len(kept))
        per_cycle = float(np.polyfit(np.arange(len(kept)), kept, 1)[0]) if len(kept) > 2 else 0.0
        return per_cycle / max(1.0, samples) * _RUN_MINUTES * 60 / _SAMPLE_SECONDS


async def soak(server: Server, texts: Path, seconds: float, log: IO[str], *, attacks: bool) -> Soaked:
    """Load the server with steady requests, fuzz and attacks in turn; return what it keeps."""
    process = psutil.Process(server.pid)
    await _warm_up(server)
    before = process.num_fds()
    ends = time.monotonic() + seconds
    found, mib = Findings(), []
    steady = asyncio.create_task(asyncio.to_thread(_steady, server, texts, seconds, log))
    disturbing = asyncio.create_task(_disturb(server, ends, found, log, attacks=attacks))
    while time.monotonic() < ends:
        await asyncio.sleep(_SAMPLE_SECONDS)
        mib.append(server.resident_mib)
    await disturbing
    statuses = await steady
    after = await _settled(process, before)
    return Soaked(mib, before, after, statuses, found.faults)


async def _warm_up(server: Server) -> None:
    chosen, found = random.Random(0), Findings()
    for send in (rest, grpc, raw):
        await send(server, chosen, 50, found)
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{server.port}", timeout=20) as client:
        reply = await client.post("/v1/models/sentiment:predict", json={"instances": ["It is good."]})
        feedback = {"request_id": reply.headers["x-request-id"], "item": 0, "label": "positive"}
        # The feedback log keeps the file open that its first line is written to.
        (await client.post("/v1/models/sentiment/feedback", json=feedback)).raise_for_status()
    await asyncio.sleep(2)


def _steady(server: Server, texts: Path, seconds: float, log: IO[str]) -> dict[str, int]:
    spec = {"port": server.port, "path": "/v1/models/sentiment:predict", "texts": str(texts), "connections": 8,
            "rate": 50, "seconds": seconds}  # fmt: skip
    file = texts.with_name("soak-load.json")
    file.write_text(json.dumps(spec), encoding="utf-8")
    command = [sys.executable, str(Path(__file__).parents[1] / "benchmarks" / "load.py"), str(file)]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=log, text=True, check=True)
    statuses: dict[str, int] = json.loads(done.stdout)["statuses"]
    return statuses


async def _disturb(server: Server, ends: float, found: Findings, log: IO[str], *, attacks: bool) -> None:
    """Fuzz, and play one attack after another."""
    chosen, names = random.Random(1), list(ATTACKS)
    turn = 0
    while (left := ends - time.monotonic()) > 1:
        await asyncio.gather(*(send(server, chosen, 200, found) for send in (rest, grpc, raw)))
        if attacks:
            ports = (str(server.port), str(server.grpc_port), str(min(_ATTACK_SECONDS, left)))
            command = ["-m", "tests.benchmarks.attacks", names[turn % len(names)], *ports]
            attacker = await asyncio.create_subprocess_exec(
                sys.executable, *command, stdout=asyncio.subprocess.DEVNULL, stderr=log
            )
            await attacker.wait()
        turn += 1


async def _settled(process: psutil.Process, before: int) -> int:
    """Return the open descriptors, once they are as many as before or no longer change."""
    ends = time.monotonic() + _SETTLE_SECONDS
    while process.num_fds() > before and time.monotonic() < ends:  # noqa: ASYNC110  # nothing tells of a closed file
        await asyncio.sleep(0.5)
    return process.num_fds()


@contextmanager
def _server(bundle: Path | None, folder: Path, log: IO[str]) -> Iterator[Server]:
    variables = {
        "FEEDBACK": "on",
        "CACHE_ENTRIES": "2000",
        "HEADER_TIMEOUT_SECONDS": "5",
        "KEEP_ALIVE_SECONDS": "10",
        "LOG_TEXT": "drop",
    }
    made = fake_engine(folder, log, SECONDS_PER_TOKEN="0.00002", **variables) if bundle is None else (
        predictor(bundle, folder, log, **variables)
    )  # fmt: skip
    with made as server:
        yield server


def run(folder: Path, seconds: float, bundle: Path | None = None, *, attacks: bool = True) -> Soaked:
    """Soak a server of its own."""
    write_own_texts(folder / "texts.json")
    with (folder / "server.log").open("w") as log, _server(bundle, folder / "state", log) as server:
        return asyncio.run(soak(server, folder / "texts.json", seconds, log, attacks=attacks))


def main(
    minutes: Annotated[float, typer.Option(help="length of the run")] = _RUN_MINUTES,
    bundle: Annotated[Path | None, typer.Option(help="a bundle folder; default: the engine without weights")] = None,
) -> None:
    """Soak, print what came of it, and exit with 1 if something is wrong."""
    with tempfile.TemporaryDirectory() as folder:
        found: Any = run(Path(folder), 60 * minutes, bundle)
    print(f"memory: {found.mib[0]:.0f} MiB at first, {max(found.mib):.0f} at most, {found.mib[-1]:.0f} at last")
    print(f"kept: {', '.join(f'{mib:.0f}' for mib in found.kept_mib)} MiB")
    print(f"slope: {found.slope_mib:+.2f} MiB in 20 minutes")
    print(f"descriptors: {found.descriptors_before} before, {found.descriptors_after} after")
    print(f"steady client: {found.statuses}")
    for fault in found.faults[:20]:
        print(fault)
    failed = set(found.statuses) != {"200"} or bool(found.faults)
    sys.exit(failed or found.slope_mib > MAX_SLOPE_MIB or found.descriptors_after > found.descriptors_before)


if __name__ == "__main__":
    typer.run(main)
