"""The child process that imports mlflow: it reads one JSON question a line and writes one JSON answer a line.

    {"name": "review-sentiment", "alias": "champion", "version": null} → {"version": "3", "artifact_uri": "…"}

It runs at low priority, and ends when its input ends.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any


def main(tracking_uri: str) -> None:
    """Answer questions about the registry at `tracking_uri` until the input ends."""
    os.nice(10)
    # What a library prints must not mix with the answers.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    client = MlflowClient(tracking_uri=tracking_uri, registry_uri=tracking_uri)
    for line in sys.stdin:
        question = json.loads(line)
        try:
            answer = _resolve(client, **question)
        except MlflowException as error:
            answer = {"error": str(error)}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


def _resolve(client: Any, name: str, alias: str | None, version: str | None) -> dict[str, str]:
    found = version or str(client.get_model_version_by_alias(name, alias).version)
    return {"version": found, "artifact_uri": client.get_model_version_download_uri(name, found)}


if __name__ == "__main__":
    main(sys.argv[1])
