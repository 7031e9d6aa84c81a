"""What `review-sentiment doctor` finds on a machine, in a registry and on ports."""

from __future__ import annotations

import json
import socket
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from pipelines.cli import machine, services
from pipelines.cli.main import app


@contextmanager
def registry_that_answers(status: int, content: dict[str, Any]) -> Iterator[str]:
    """Serve one answer on loopback; yield the address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Keep the test's output free of access lines."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def rows(uri: str) -> list[tuple[str, str, str]]:
    return [(row.state, row.name, row.value) for row in services.registry(uri)]


def test_a_database_shows_its_champion(tmp_path: Path) -> None:
    path = tmp_path / "mlflow.db"
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE registered_model_aliases (name TEXT, alias TEXT, version INTEGER)")
        connection.execute("INSERT INTO registered_model_aliases VALUES ('review-sentiment', 'champion', 7)")
    assert rows(f"sqlite:///{path}") == [("ok", "registry", str(path)), ("ok", "champion", "version 7")]


def test_a_database_that_is_not_there_yet_is_no_fault(tmp_path: Path) -> None:
    ((state, _, value),) = rows(f"sqlite:///{tmp_path}/mlflow.db")
    assert (state, value) == ("optional", f"{tmp_path}/mlflow.db does not exist yet")


def test_a_file_that_is_no_registry_is_a_fault(tmp_path: Path) -> None:
    (tmp_path / "mlflow.db").write_text("not a database, but a text that is long enough to be read as one")
    ((state, name, _),) = rows(f"sqlite:///{tmp_path}/mlflow.db")
    assert (state, name) == ("missing", "registry")


@pytest.mark.parametrize(
    ("status", "content", "expected"),
    [
        (200, {"model_version": {"version": "3"}}, [("ok", "registry"), ("ok", "champion")]),
        (404, {"error_code": "RESOURCE_DOES_NOT_EXIST"}, [("ok", "registry"), ("optional", "champion")]),
        (404, {}, [("missing", "registry")]),
        (401, {}, [("missing", "registry")]),
    ],
)
def test_a_server_is_asked_for_the_champion(
    status: int, content: dict[str, Any], expected: list[tuple[str, str]]
) -> None:
    with registry_that_answers(status, content) as address:
        assert [row[:2] for row in rows(address)] == expected


def test_a_server_that_is_down_is_a_fault_and_ends_the_command_with_1(
    state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    del state
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:1")
    result = CliRunner().invoke(app, ["doctor"], env={"COLUMNS": "200"})
    assert result.exit_code == 1
    assert "Missing for training and serving on this machine: registry." in result.output


def test_a_fresh_clone_is_fine(state: Path) -> None:
    del state
    result = CliRunner().invoke(app, ["doctor"], env={"COLUMNS": "200"})
    assert result.exit_code == 0, result.output
    assert "Training and serving work on this machine." in result.output
    for name in ("Python", "INT8 arithmetic", "Docker engine", "promtool", "port 8080", "default data"):
        assert name in result.output


def test_a_port_in_use_is_named_with_its_setting() -> None:
    with socket.socket() as listener:
        listener.bind(("", 0))
        listener.listen()
        number = listener.getsockname()[1]
        found = services.port("HTTP_PORT", number)
    assert (found.state, "set HTTP_PORT" in found.remedy) == ("optional", True)
    assert services.port("HTTP_PORT", number).state == "ok"


@pytest.mark.parametrize(
    ("flags", "value"),
    [
        ({"avx2", "avx512_vnni"}, "VNNI instructions"),
        ({"avx2"}, "AVX2 with exact kernels, slower than VNNI"),
        (set(), "no fast instructions known"),
    ],
)
def test_the_processor_is_judged_by_its_flags(flags: set[str], value: str) -> None:
    assert machine.processor(frozenset(flags)).value == value


def test_a_program_is_found_on_the_path_or_said_to_be_optional(tmp_path: Path) -> None:
    absent = machine.installed(machine.Program("tool", ["no-such-tool"], "one test", "a package"))
    assert (absent.state, absent.remedy) == ("optional", "for one test: a package")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "tool").write_text("")
    elsewhere = machine.Program("tool", ["no-such-tool"], "one test", "a package", f"{tmp_path}/*/tool")
    assert machine.installed(elsewhere).value == f"{tmp_path}/bin/tool"
