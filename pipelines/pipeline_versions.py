"""Compiled pipelines as uploaded versions on a Kubeflow Pipelines host, so that people see which one a run used."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any


def version_name(compiled: Path) -> str:
    """Return the name of the version of a compiled file: it holds the digest of the content.

    Example: `version_name(Path("compiled/training.yaml"))` is `"training-0f3a5c0e9b1d"`.
    """
    return f"{compiled.stem}-{hashlib.sha256(compiled.read_bytes()).hexdigest()[:12]}"


def uploaded(client: Any, compiled: Path, namespace: str = "") -> dict[str, str]:
    """Upload the compiled file as a version of its pipeline unless the host has it; return the ids that a run takes.

    `client` is the SDK's. The pipeline is made if the host has none of that name.
    """
    name, version = f"review-sentiment-{compiled.stem}", version_name(compiled)
    pipeline = client.get_pipeline_id(name)
    if pipeline is None:
        made = client.upload_pipeline(str(compiled), pipeline_name=name, namespace=namespace or None)
        pipeline = made.pipeline_id
    equal = json.dumps({"predicates": [{"operation": "EQUALS", "key": "display_name", "stringValue": version}]})
    known = client.list_pipeline_versions(pipeline, filter=equal).pipeline_versions
    found = known[0] if known else client.upload_pipeline_version(str(compiled), version, pipeline_id=pipeline)
    return {"pipeline_id": str(pipeline), "version_id": str(found.pipeline_version_id)}
