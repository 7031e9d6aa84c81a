"""The servers of other projects beside this predictor: same bundle, same texts, same load generator, in turns.

Every server runs for the whole time, but all others are suspended while one is loaded, because some poll their queues
when idle. Numbers of connections rise from one to the next: BentoML's batching goes by what it has seen before.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import httpx
import psutil

from tests.benchmarks.load import filled
from tests.benchmarks.peers import catalogue
from tests.benchmarks.peers.catalogue import Probabilities, Wire
from tests.benchmarks.peers.environments import PeerUnavailable
from tests.benchmarks.scenarios import Bench, Result, in_turns
from tests.benchmarks.servers import Server, plain_kserve, predictor

CONNECTIONS: Final = (1, 32, 64)
MANY: Final = 1000
_COMPARED: Final = 20
MAX_DIFFERENCE: Final = 0.02
"""Largest difference of a probability: a text's scales depend a little on the batch that it is in."""


class DifferentAnswerError(Exception):
    """A server gives another answer than this predictor, so that its speed says nothing."""


@dataclass
class Measured:
    """The results of each server by name, and for those that did not run the reason."""

    results: dict[str, dict[str, Result]] = field(default_factory=dict)
    """By server, then by `1`, `32`, `64` (connections) and `many`."""
    not_run: dict[str, str] = field(default_factory=dict)


def measure(bench: Bench, environments: Path, report: Callable[[str], None]) -> Measured:
    """Install and start every server, compare their answers with ours, and load them in turns.

    Raises DifferentAnswerError if a server answers something else than this predictor.
    """
    measured = Measured()
    with ExitStack() as stack:
        ours = stack.enter_context(predictor(bench.bundle, bench.state, bench.log, CACHE="off"))
        servers = {catalogue.OUR_NAME: (ours, catalogue.OURS)}
        for name, options in catalogue.KSERVE.items():
            servers[name] = (stack.enter_context(plain_kserve(bench.bundle, bench.log, *options)), catalogue.OURS)
        for peer in catalogue.PEERS:
            report(f"{peer.name}: install and start")
            try:
                server = stack.enter_context(catalogue.started(peer, bench, environments))
            except PeerUnavailable as error:
                measured.not_run[peer.name] = str(error)
                report(f"{peer.name}: not run: {error}")
            else:
                servers[peer.name] = (server, peer.wire)
        _compare(bench, servers)
        report(f"{len(servers)} servers give the same answers to {_COMPARED} texts")
        for connections in CONNECTIONS:
            _load(bench, servers, measured, str(connections), report, connections=connections)
        many = {name: (server, wire) for name, (server, wire) in servers.items() if wire.many}
        _load(bench, many, measured, "many", report, connections=1, batch=MANY)
    return measured


def _load(
    bench: Bench,
    servers: Mapping[str, tuple[Server, Wire]],
    measured: Measured,
    key: str,
    report: Callable[[str], None],
    **spec: Any,
) -> None:
    def put_on(server: Server, wire: Wire) -> Result:
        with _others_suspended(server, [other for other, _ in servers.values()]):
            return bench.load(server, path=wire.path, body=wire.body, **spec)

    loads = {name: (lambda server=server, wire=wire: put_on(server, wire)) for name, (server, wire) in servers.items()}
    for name, result in in_turns(loads).items():
        measured.results.setdefault(name, {})[key] = result
        report(f"{name}, {key}: {result}")


@contextmanager
def _others_suspended(server: Server, servers: Sequence[Server]) -> Iterator[None]:
    processes = [process for other in servers if other is not server for process in other.processes]
    try:
        for process in processes:
            with suppress(psutil.NoSuchProcess):  # servers replace their workers
                process.suspend()
        yield
    finally:
        for process in processes:
            with suppress(psutil.NoSuchProcess):
                process.resume()


def _compare(bench: Bench, servers: Mapping[str, tuple[Server, Wire]]) -> None:
    texts = bench.all_texts()[:_COMPARED]
    temperature = json.loads((bench.bundle / "bundle.json").read_text(encoding="utf-8"))["temperature"]
    expected = answers(*servers[catalogue.OUR_NAME], texts, temperature)
    for name, (server, wire) in servers.items():
        if differences := compared(texts, expected, answers(server, wire, texts, temperature)):
            raise DifferentAnswerError("\n".join([f"{name} answers otherwise than this predictor:", *differences]))


def answers(server: Server, wire: Wire, texts: Sequence[str], temperature: float) -> list[Probabilities]:
    """Return the probabilities of each text, all sent at once in requests of one text, so that batches are formed."""
    url = f"http://127.0.0.1:{server.port}{wire.path}"

    def ask(text: str) -> Probabilities:
        reply = httpx.post(url, json=filled(wire.body, [text]), timeout=60)
        reply.raise_for_status()
        (probabilities,) = wire.read(reply.json())
        return probabilities if wire.calibrated else calibrated(probabilities, temperature)

    with ThreadPoolExecutor(len(texts)) as pool:
        return list(pool.map(ask, texts))


def calibrated(probabilities: Probabilities, temperature: float) -> Probabilities:
    """Return the probabilities at a temperature from those at 1.

    The softmax of logits divided by T is the T-th root of the softmax of the logits, divided by its sum.
    """
    roots = {label: value ** (1 / temperature) for label, value in probabilities.items()}
    return {label: root / sum(roots.values()) for label, root in roots.items()}


def compared(texts: Sequence[str], expected: Sequence[Probabilities], found: Sequence[Probabilities]) -> list[str]:
    """Return a sentence for each text with another label, or with a probability that differs by more than 0.02."""
    differences = []
    for text, ours, theirs in zip(texts, expected, found, strict=True):
        same_label = max(ours, key=ours.__getitem__) == max(theirs, key=theirs.__getitem__)
        if not same_label or max(abs(ours[label] - theirs[label]) for label in ours) > MAX_DIFFERENCE:
            differences.append(f"{text!r}: {_rounded(theirs)}; this predictor: {_rounded(ours)}")
    return differences


def _rounded(probabilities: Probabilities) -> dict[str, float]:
    return {label: round(value, 3) for label, value in probabilities.items()}


def table(measured: Measured) -> str:
    """Return the results as a Markdown table; servers that did not run have the reason in their row."""
    head = (
        "Server",
        "1 connection: p50, p95 ms",
        "32: requests/s, p95 ms",
        "64: requests/s, p95 ms",
        "64: CPU ms a request",
        f"{MANY:,} texts a request: texts/s",
    )
    rows = [
        head,
        ("---",) * len(head),
        *((name, *_cells(results)) for name, results in measured.results.items()),
        *((name, f"not run: {reason}", *[""] * (len(head) - 2)) for name, reason in measured.not_run.items()),
    ]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def _cells(results: Mapping[str, Result]) -> list[str]:
    one, at_64, many = results["1"], results["64"], results.get("many")
    rate = "one text a request"
    if many is not None:
        rate = f"{MANY * many['statuses'].get('200', 0) / many['seconds']:,.0f}{_refused(many)}"
    return [
        f"{one['p50_ms']}, {one['p95_ms']}{_refused(one)}",
        *(
            f"{result['per_second']:,.0f}, {result['p95_ms']:.0f}{_refused(result)}"
            for result in (results["32"], at_64)
        ),
        str(at_64["server_cpu_ms"]),
        rate,
    ]


def _refused(result: Result) -> str:
    """Return what share of the requests got no answer with status 200, where there are any."""
    count = sum(result["statuses"].values())
    refused = count - result["statuses"].get("200", 0)
    return f" ({100 * refused / count:.1f} % without an answer)" if refused else ""
