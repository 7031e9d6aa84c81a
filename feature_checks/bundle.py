"""The exported-model folder: the only thing training and serving share.

    bundle/
      bundle.json       the manifest: labels, temperature, versions and the digest of every other file
      model_int8.onnx   the model that is served
      tokenizer.json    a `tokenizers` file: no transformers needed to read it
      reference.json    self-test texts with their FP32 probabilities
      documents.json    how windows of a long text become one answer; optional
      languages.json    the languages that the model was trained for; optional
      max_error.json    which confidence keeps which accepted error; optional
      card.md           the model card

The FP32 model is four times as large and needed only on a processor whose INT8 arithmetic disagrees. It is therefore
stored beside the bundle (`fp32/model.onnx`), and the manifest has its digest.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from feature_checks.contract import CONTRACT_VERSION, LABELS

MANIFEST: Final = "bundle.json"
INT8_MODEL: Final = "model_int8.onnx"
TOKENIZER: Final = "tokenizer.json"
REFERENCE: Final = "reference.json"
DOCUMENTS: Final = "documents.json"
"""Coefficients of `feature_checks.documents.aggregation`; a bundle without the file answers long texts with a mean."""
LANGUAGES: Final = "languages.json"
"""The languages that the model was trained for; a bundle without the file is for English."""
MAX_ERROR: Final = "max_error.json"
"""The table of `feature_checks.documents.max_error`; a bundle without the file cannot keep an accepted error."""
CARD: Final = "card.md"
FP32_MODEL: Final = "fp32/model.onnx"
"""Path of the FP32 model relative to the folder that holds the bundle folder."""

REQUIRED_FILES: Final = (INT8_MODEL, TOKENIZER, REFERENCE)


class BundleError(ValueError):
    """A bundle folder must not be served; the message names the file, what was found and what was expected."""


@dataclass(frozen=True)
class FileDigest:
    """SHA-256 (hex) and size in bytes of one file."""

    sha256: str
    bytes: int

    @classmethod
    def of(cls, path: Path) -> FileDigest:
        """Return the digest of the file at `path`."""
        with path.open("rb") as file:
            return cls(hashlib.file_digest(file, "sha256").hexdigest(), path.stat().st_size)

    def verify(self, path: Path) -> None:
        """Raise BundleError unless the file at `path` has this size and digest."""
        if not path.is_file():
            raise BundleError(f"{path}: the file is missing; expected {self.bytes} bytes, sha256 {self.sha256}")
        found = FileDigest.of(path)
        if found != self:
            raise BundleError(
                f"{path}: found {found.bytes} bytes with sha256 {found.sha256}; "
                f"the manifest says {self.bytes} bytes with sha256 {self.sha256}"
            )


@dataclass(frozen=True)
class Manifest:
    """Contents of bundle.json."""

    max_length: int
    """The number of tokens that the model reads at once; a longer text is read in windows."""
    temperature: float
    """Logits are divided by it before the softmax (Guo et al., 2017)."""
    self_test_max_gap: float
    """Largest tolerated |INT8 − FP32| probability on the reference texts of a serving node."""
    fp32: FileDigest
    data_digest: str
    git_revision: str
    created: str
    """UTC time of the export, ISO 8601."""
    versions: Mapping[str, str]
    """Versions of the packages that made the bundle."""
    labels: Sequence[str] = LABELS
    contract_version: str = CONTRACT_VERSION
    files: Mapping[str, FileDigest] = field(default_factory=dict)


@dataclass(frozen=True)
class Bundle:
    """A bundle folder whose every file has been verified."""

    folder: Path
    manifest: Manifest
    digest: str
    """SHA-256 of bundle.json, and so of everything the bundle holds: the model's identity."""

    @property
    def fp32_path(self) -> Path:
        """The path of the FP32 model once it has been fetched."""
        return self.folder.parent / FP32_MODEL

    def reference(self) -> tuple[list[str], list[list[float]]]:
        """Return the self-test texts and their FP32 probabilities, n × 3 in contract order."""
        stored = json.loads((self.folder / REFERENCE).read_text(encoding="utf-8"))
        return stored["texts"], stored["probabilities"]


def seal(folder: Path, manifest: Manifest) -> Bundle:
    """Write bundle.json with the digest of every file now in `folder`; return the finished bundle."""
    names = sorted(path.name for path in folder.iterdir() if path.is_file() and path.name != MANIFEST)
    content = asdict(manifest) | {"files": {name: asdict(FileDigest.of(folder / name)) for name in names}}
    (folder / MANIFEST).write_text(json.dumps(content, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    return load(folder)


def load(folder: Path) -> Bundle:
    """Return the bundle at `folder` after verifying its contract version, labels and every digest.

    Raises BundleError, naming the file and the difference.
    """
    path = folder / MANIFEST
    try:
        raw = path.read_bytes()
        manifest = _parse(json.loads(raw))
    except OSError as error:
        raise BundleError(f"{path}: not readable ({error.strerror}); a bundle folder must hold {MANIFEST}") from error
    except (KeyError, TypeError, ValueError) as error:
        raise BundleError(f"{path}: not a bundle manifest ({error})") from error
    _check_contract(path, manifest)
    for name, digest in manifest.files.items():
        digest.verify(folder / name)
    return Bundle(folder=folder, manifest=manifest, digest=hashlib.sha256(raw).hexdigest())


def _parse(content: dict[str, Any]) -> Manifest:
    files = {name: FileDigest(**digest) for name, digest in content["files"].items()}
    return Manifest(**(content | {"files": files, "fp32": FileDigest(**content["fp32"])}))


def _check_contract(path: Path, manifest: Manifest) -> None:
    if manifest.contract_version != CONTRACT_VERSION:
        raise BundleError(
            f"{path}: contract_version is {manifest.contract_version!r}; this release serves {CONTRACT_VERSION!r}"
        )
    if tuple(manifest.labels) != LABELS:
        raise BundleError(f"{path}: labels are {list(manifest.labels)}; the contract's order is {list(LABELS)}")
    missing = [name for name in REQUIRED_FILES if name not in manifest.files]
    if missing:
        raise BundleError(f"{path}: files lacks {missing}; a bundle holds {list(REQUIRED_FILES)}")
    unsafe = [name for name in manifest.files if Path(name).name != name]
    if unsafe:
        raise BundleError(f"{path}: files names {unsafe}; only plain file names inside the folder are allowed")
