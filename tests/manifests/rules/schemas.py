"""Documents against schemas, as strictly as the API server with `fieldValidation=Strict`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import yaml

from ..render import Document, name_of, schema_folder

KUBERNETES = "1.32"
NATIVE_GROUPS = {"", "apps", "batch", "policy", "networking.k8s.io", "rbac.authorization.k8s.io"}


def problems(document: Document) -> tuple[str, ...]:
    """Return what is wrong with a document by its schema, native or custom; remembered for equal documents."""
    return _remembered(json.dumps(document, sort_keys=True), str(schema_folder()))


@cache
def _remembered(document: str, _: str) -> tuple[str, ...]:
    return tuple(_problems(json.loads(document)))


def _problems(document: Document) -> Iterator[str]:
    group = str(document.get("apiVersion", "")).rpartition("/")[0]
    try:
        if group in NATIVE_GROUPS:
            kubernetes_validate.validate(document, KUBERNETES, strict=True)
            return
    except (kubernetes_validate.ValidationError, kubernetes_validate.SchemaNotFoundError) as error:
        yield f"schema: {name_of(document)}: {error}"
        return
    key = (document["apiVersion"], document["kind"])
    schema = crds(schema_folder()).get(key) or subsets().get(key)
    if schema is None:
        yield f"schema: {name_of(document)}: no CustomResourceDefinition of {document['apiVersion']} is in CRD_SCHEMAS"
        return
    for found in jsonschema.Draft202012Validator(schema).iter_errors(document):
        yield f"schema: {name_of(document)}: {found.json_path}: {found.message}"


@cache
def crds(folder: Path) -> dict[tuple[str, str], dict[str, Any]]:
    """Return the strict JSON schema of each (apiVersion, kind) that the folder's definitions serve."""
    found = {}
    for path in sorted(folder.rglob("*.yaml")):
        for definition in yaml.load_all(path.read_text(encoding="utf-8"), Loader=yaml.CSafeLoader):
            if not definition or definition.get("kind") != "CustomResourceDefinition":
                continue
            spec = definition["spec"]
            for version in spec["versions"]:
                schema = strict(version["schema"]["openAPIV3Schema"])
                # Of every object, whether or not its definition says so.
                schema["properties"] |= {"apiVersion": {"type": "string"}, "kind": {"type": "string"}}
                schema["properties"]["metadata"] = {"type": "object"}
                found[f"{spec['group']}/{version['name']}", spec["names"]["kind"]] = schema
    return found


@cache
def subsets() -> dict[tuple[str, str], dict[str, Any]]:
    """Return strict schemas of the fields that we use of kinds whose definitions CRD_SCHEMAS may lack."""
    written = yaml.safe_load((Path(__file__).parent / "subset_schemas.yaml").read_text(encoding="utf-8"))
    found = {}
    for version, kinds in written.items():
        for kind, spec in kinds.items():
            top = {"apiVersion": {"type": "string"}, "kind": {"type": "string"}, "metadata": {"type": "object"}}
            found[version, kind] = {
                "type": "object",
                "properties": top | {"spec": _subset(spec)},
                "required": ["spec"],
                "additionalProperties": False,
            }
    return found


def _subset(written: Any) -> dict[str, Any]:
    """Return the schema of one shorthand: a type's name, a list of one item's fields, or fields by name."""
    if written == "labels":
        return {"type": "object", "additionalProperties": {"type": "string"}}
    if isinstance(written, str):
        return {"type": written}
    if isinstance(written, list):
        return {"type": "array", "items": _subset(written[0]), "minItems": 1}
    properties = {name: _subset(inner) for name, inner in written.items()}
    return {"type": "object", "properties": properties, "additionalProperties": False}


def strict(schema: Any) -> Any:
    """Return a structural schema as JSON Schema: fields it does not name are errors.

    See https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/ on structural
    schemas, pruning and x-kubernetes-int-or-string.
    """
    made = {
        key: value for key, value in schema.items() if not key.startswith("x-") and key not in ("format", "default")
    }
    if schema.get("x-kubernetes-int-or-string"):
        return {"type": ["integer", "string"]}
    if "properties" in made:
        made["properties"] = {name: strict(inner) for name, inner in made["properties"].items()}
    if isinstance(made.get("items"), dict):
        made["items"] = strict(made["items"])
    if isinstance(made.get("additionalProperties"), dict):
        made["additionalProperties"] = strict(made["additionalProperties"])
    keeps = schema.get("x-kubernetes-preserve-unknown-fields") or "additionalProperties" in made
    if made.get("type") == "object" and not keeps:
        made["additionalProperties"] = False
    if made.pop("nullable", False) and "type" in made:
        made["type"] = [made["type"], "null"]
    return made
