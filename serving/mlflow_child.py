"""The child process that imports mlflow: one JSON question a line in, one JSON answer a line out.

    {"name": "review-sentiment", "alias": "champion", "version": null} → {"version": "3", "artifact_uri": "…"}

It ends when its input does, and runs at low priority.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any


def main(tracking_uri: str) -> None:
    """Answer questions about the registry at `tracking_uri` until the input ends."""
    os.nice(10)
    # Whatever a library prints must not end up among the answers.
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
