"""What CI does with the predictor's packages: the same commands on the real image, asking a stand-in for OSV.

What is tested of the audit is that it asks about every package, and that an advisory, or a service that does not
answer, fails it. Whether a package has an advisory only the real service knows
(https://google.github.io/osv.dev/post-v1-query).
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final

from tests.images.engine import ROOT, SERVING, require

_SCRIPT: Final = str(ROOT / ".github" / "delivery" / "supply_chain.py")
_ADVISORY: Final = "GHSA-0000-0000-0000"


class _Osv(ThreadingHTTPServer):
    """Knows one advisory for each package named; without any knowledge it answers 503."""

    def __init__(self, advisories: Mapping[str, str] | None) -> None:
        super().__init__(("127.0.0.1", 0), _Query)
        self.advisories = advisories
        self.asked: set[str] = set()


class _Query(BaseHTTPRequestHandler):
    server: _Osv

    def do_POST(self) -> None:
        query = json.loads(self.rfile.read(int(self.headers["content-length"])))
        name = query["package"]["name"]
        self.server.asked.add(f"{name}=={query['version']}")
        known = self.server.advisories
        self._answer(503 if known is None else 200, _advisories(name, (known or {}).get(name)))

    def _answer(self, status: int, content: Mapping[str, Any]) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None: ...


def _advisories(name: str, advisory: str | None) -> dict[str, Any]:
    if advisory is None:
        return {}
    events = [{"introduced": "0"}]
    affected = {"package": {"name": name, "ecosystem": "PyPI"}, "ranges": [{"type": "ECOSYSTEM", "events": events}]}
    return {"vulns": [{"id": advisory, "summary": "made up", "affected": [affected]}]}


@contextmanager
def _osv(advisories: Mapping[str, str] | None) -> Iterator[tuple[_Osv, str]]:
    with _Osv(advisories) as service:
        thread = threading.Thread(target=service.serve_forever)
        thread.start()
        try:
            yield service, f"http://127.0.0.1:{service.server_port}/v1/query"
        finally:
            service.shutdown()
            thread.join()


def list_packages(folder: Path) -> Path:
    """Return a file that lists the packages of the predictor's image. Raises CheckFailed."""
    listed = _run("packages", SERVING)
    require(listed.returncode == 0 and listed.stdout, f"the packages of {SERVING}: {listed.stderr[-2000:]}")
    file = folder / "packages.txt"
    file.write_text(listed.stdout, encoding="utf-8")
    return file


def check_sbom(file: Path) -> int:
    """Write the bill of materials; return how many components it has, one a package. Raises CheckFailed."""
    output = file.with_name("sbom.json")
    made = _run("sbom", str(file), str(output))
    require(made.returncode == 0, f"the bill of materials: {made.stderr[-2000:]}")
    components = json.loads(output.read_text(encoding="utf-8"))["components"]
    found = {f"{one['name']}=={one['version']}" for one in components}
    missing = set(file.read_text(encoding="utf-8").split()) - found
    require(not missing, f"the bill of materials lacks {sorted(missing)}")
    return len(components)


def check_audit(file: Path) -> str:
    """Audit the listed packages three times; return what was found. Raises CheckFailed."""
    packages = file.read_text(encoding="utf-8").split()
    with _osv({}) as (service, url):
        clean = _run("audit", str(file), f"--service={url}")
        require(clean.returncode == 0, f"an audit without findings ended with {clean.returncode}: {clean.stderr}")
        unasked = {_canonical(package) for package in packages} - service.asked
        require(not unasked, f"the audit asked nothing about {sorted(unasked)}")
    with _osv({"onnxruntime": _ADVISORY}) as (_, url):
        known = _run("audit", str(file), f"--service={url}")
        require(known.returncode == 1 and _ADVISORY in known.stdout, f"an advisory passed the audit: {known.stdout}")
    with _osv(None) as (_, url):
        silent = _run("audit", str(file), f"--service={url}")
        require(silent.returncode != 0, "an audit that could not ask has passed")
    return f"{len(packages)} packages asked about; an advisory fails it, and so does a service that does not answer"


def _run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, _SCRIPT, *arguments], capture_output=True, text=True, check=False)


def _canonical(package: str) -> str:
    name, _, version = package.partition("==")
    return f"{name.lower().replace('_', '-').replace('.', '-')}=={version}"
