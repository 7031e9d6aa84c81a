"""Make MLflow's accounts, or set their passwords: READER_* for the predictors, PIPELINES_* for the steps.

python create_users.py    # the administrator is in MLFLOW_TRACKING_URI, _USERNAME and _PASSWORD
"""

from __future__ import annotations

import base64
import json
import os
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

ROLES = ("READER", "PIPELINES")
WAIT_SECONDS = 300


def call(method: str, path: str, body: dict[str, str] | None = None) -> int:
    """Send one request as the administrator; return its status. Waits while the server does not answer."""
    name, password = os.environ["MLFLOW_TRACKING_USERNAME"], os.environ["MLFLOW_TRACKING_PASSWORD"]
    request = urllib.request.Request(  # noqa: S310 - the address is the deployment's own
        os.environ["MLFLOW_TRACKING_URI"] + path,
        data=json.dumps(body).encode() if body else None,
        method=method,
        headers={
            "Authorization": "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode(),
            "Content-Type": "application/json",
        },
    )
    end = time.monotonic() + WAIT_SECONDS
    while True:
        try:
            with urllib.request.urlopen(request, timeout=30) as reply:  # noqa: S310
                return int(reply.status)
        except urllib.error.HTTPError as error:
            return error.code
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(2)


def ensure(name: str, password: str) -> None:
    """Make the account, or give an existing one the password. Raises RuntimeError with the server's status."""
    query = urllib.parse.urlencode({"username": name})
    exists = call("GET", f"/api/2.0/mlflow/users/get?{query}") == 200
    method, action = ("PATCH", "update-password") if exists else ("POST", "create")
    status = call(method, f"/api/2.0/mlflow/users/{action}", {"username": name, "password": password})
    if status != 200:
        raise RuntimeError(f"{action} of the account {name!r}: MLflow answered {status}; expected 200")
    print(f"{action}: {name}")


def main() -> int:
    """Make every account; return the exit code."""
    for role in ROLES:
        ensure(os.environ[f"{role}_USERNAME"], os.environ[f"{role}_PASSWORD"])
    return 0


if __name__ == "__main__":
    sys.exit(main())
