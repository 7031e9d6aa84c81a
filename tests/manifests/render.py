"""What `kubectl kustomize` makes of a folder."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parent.parent.parent
MANIFESTS = ROOT / "manifests"
ENVIRONMENTS = ("local", "staging", "prod")
MODES = ("knative", "standard")


def parts(environment: str, mode: str) -> dict[str, Path]:
    """Return the folders that are applied for an environment in a deployment mode, by name and in their order."""
    names = ["platform", "profile", "kubeflow", "monitoring", "training", mode]
    folder = MANIFESTS / "overlays" / environment
    return {f"{environment}/{name}": folder / name for name in names if (folder / name).is_dir()}


DEPLOYMENTS = {f"{one}-{mode}": parts(one, mode) for one in ENVIRONMENTS for mode in MODES}
"""Every environment in both modes: its parts."""
CANARIES = {f"canary/{path.name}": path for path in sorted((MANIFESTS / "canary").iterdir()) if path.is_dir()}
"""What is applied beside prod for a while."""
PARTS = {name: path for folders in DEPLOYMENTS.values() for name, path in folders.items()} | CANARIES
"""Everything that can be applied, by name."""

Document = dict[str, Any]


def tool(name: str, how: str) -> str:
    """Return the path of a program that the checks need. Raises RuntimeError, which says how to get it."""
    found = shutil.which(name)
    if found is None:
        raise RuntimeError(f"{name} is not on PATH, and the manifests cannot be checked without it: {how}")
    return found


def schema_folder() -> Path:
    """Return the folder that CRD_SCHEMAS names. Raises RuntimeError where it is unset or no folder."""
    name = os.environ.get("CRD_SCHEMAS", "")
    if not name or not Path(name).is_dir():
        raise RuntimeError(
            f"CRD_SCHEMAS is {name!r}; expected a folder with the CustomResourceDefinitions of KServe, Knative and the "
            "Prometheus operator (python .github/delivery/crd_schemas.py FOLDER fetches them)"
        )
    return Path(name)


def render(folder: Path) -> list[Document]:
    """Return the documents of a kustomization. Raises RuntimeError with kustomize's own words."""
    kubectl = tool("kubectl", "https://kubernetes.io/docs/tasks/tools/")
    done = subprocess.run([kubectl, "kustomize", str(folder)], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{folder} does not render: {done.stderr.strip()}")
    # CSafeLoader is as safe as safe_load, and ten times as fast.
    return [document for document in yaml.load_all(done.stdout, Loader=yaml.CSafeLoader) if document]


def name_of(document: Document) -> str:
    """Return Kind/name."""
    return f"{document.get('kind')}/{document.get('metadata', {}).get('name')}"


def of_kind(documents: list[Document], *kinds: str) -> list[Document]:
    """Return the documents of these kinds."""
    return [document for document in documents if document.get("kind") in kinds]
