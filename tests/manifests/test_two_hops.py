"""Two real proxies in front of the real server, as a gateway and Knative's activator are: each caller is one user."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from feature_checks.bundle import Bundle
from tests.support.live_server import live
from tests.support.ports import free_port
from tests.support.waiting import until

from .render import tool

GATEWAY, ACTIVATOR = "127.0.0.11", "127.0.0.12"
FIRST, SECOND, THIRD = "127.0.0.2", "127.0.0.3", "127.0.0.4"
ALLOWANCE = 3
CONFIGURATION = """
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections 64; }}
http {{
  access_log off;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  # Stands for the check of a token: who the gateway says that a caller is, and nobody without a token that it knows.
  map $http_authorization $caller {{
    "Bearer ann" ann;
    "Bearer ben" ben;
  }}
  # The gateway: puts its own word in place of what callers say about themselves, and appends their address. An empty
  # value removes the header.
  server {{
    listen 127.0.0.1:{gateway};
    location / {{
      proxy_pass http://127.0.0.1:{activator};
      proxy_bind {gateway_address};
      proxy_set_header X-User-Id $caller;
      proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
    }}
  }}
  # A second hop, which appends the gateway's address.
  server {{
    listen 127.0.0.1:{activator};
    location / {{
      proxy_pass {server};
      proxy_bind {activator_address};
      proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
    }}
  }}
}}
"""


@pytest.fixture
def gateway(tmp_path: Path, tiny_bundle: Bundle) -> Iterator[str]:
    """The address of the first of two proxies in front of the server, which trusts both and no one else."""
    settings: dict[str, Any] = {
        "MODEL_URI": str(tiny_bundle.folder),
        "PREDICTION_LOG": "off",
        "RATE_LIMIT": f"{ALLOWANCE}/minute",
        "TRUSTED_PROXIES": f"{GATEWAY},{ACTIVATOR}",
    }
    with live(tmp_path / "server", ready=False, **settings) as server:
        server.wait_ready(200)
        ports = {"gateway": free_port(), "activator": free_port()}
        text = CONFIGURATION.format(
            folder=tmp_path, server=server.http, gateway_address=GATEWAY, activator_address=ACTIVATOR, **ports
        )
        (tmp_path / "nginx.conf").write_text(text, encoding="utf-8")
        nginx = tool("nginx", "apt-get install nginx-light (Debian, Ubuntu)")
        process = subprocess.Popen([nginx, "-c", tmp_path / "nginx.conf", "-p", tmp_path])
        address = f"http://127.0.0.1:{ports['gateway']}"
        try:
            until(lambda: answers(address), 30)
            yield address
        finally:
            process.terminate()
            process.wait()


def answers(address: str) -> bool:
    try:
        return httpx.get(f"{address}/v2/health/ready", timeout=5).status_code == 200
    except httpx.TransportError:
        return False


def infer(address: str, client: str, **headers: str) -> int:
    """Return the status of one prediction that the address `client` asks for."""
    transport = httpx.HTTPTransport(local_address=client)
    tensor = {"name": "text", "shape": [1], "datatype": "BYTES", "data": ["good"]}
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    with httpx.Client(transport=transport, timeout=30) as sender:
        return sender.post(
            f"{address}/v2/models/sentiment/infer", json={"inputs": [tensor]}, headers=named
        ).status_code  # fmt: skip


def test_two_callers_are_two_users_and_a_forged_header_counts_for_nothing(gateway: str) -> None:
    assert [infer(gateway, FIRST) for _ in range(ALLOWANCE + 1)] == [200] * ALLOWANCE + [429]
    assert infer(gateway, SECOND) == 200
    assert infer(gateway, FIRST, X_Forwarded_For="198.51.100.9") == 429
    assert infer(gateway, FIRST, X_Forwarded_For=f"198.51.100.9, {GATEWAY}") == 429
    assert infer(gateway, FIRST, X_User_Id="someone-else") == 429
    spent = [infer(gateway, THIRD, X_User_Id=f"user-{number}") for number in range(ALLOWANCE + 1)]
    assert spent == [200] * ALLOWANCE + [429]


def test_whoever_the_gateway_names_is_one_user_at_any_address(gateway: str) -> None:
    ann, ben = "Bearer ann", "Bearer ben"
    addresses = (FIRST, SECOND, THIRD, FIRST)
    assert [infer(gateway, address, Authorization=ann) for address in addresses] == [200] * ALLOWANCE + [429]
    assert infer(gateway, FIRST, Authorization=ben) == 200
    assert infer(gateway, FIRST, Authorization=ann, X_User_Id="ben") == 429
    assert infer(gateway, FIRST, X_User_Id="ann") == 200
