from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from feature_checks import bundle as bundles
from feature_checks.bundle import MANIFEST, Bundle, BundleError


@pytest.fixture
def copy(tiny_bundle: Bundle, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_bundle.folder, tmp_path / "bundle"))


def edit_manifest(folder: Path, **changes: object) -> None:
    path = folder / MANIFEST
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_a_copied_bundle_loads_with_the_same_digest(copy: Path, tiny_bundle: Bundle) -> None:
    assert bundles.load(copy).digest == tiny_bundle.digest


def test_one_changed_byte_is_found(copy: Path) -> None:
    model = copy / bundles.INT8_MODEL
    content = bytearray(model.read_bytes())
    content[len(content) // 2] ^= 1
    model.write_bytes(content)
    with pytest.raises(BundleError, match=r"model_int8.onnx: found \d+ bytes with sha256"):
        bundles.load(copy)


def test_a_missing_file_is_named(copy: Path) -> None:
    (copy / bundles.TOKENIZER).unlink()
    with pytest.raises(BundleError, match=r"tokenizer.json: the file is missing"):
        bundles.load(copy)


def test_another_contract_version_is_refused(copy: Path) -> None:
    edit_manifest(copy, contract_version="0")
    with pytest.raises(BundleError, match="contract_version is '0'; this release serves '1'"):
        bundles.load(copy)


def test_another_label_order_is_refused(copy: Path) -> None:
    edit_manifest(copy, labels=["positive", "neutral", "negative"])
    with pytest.raises(BundleError, match="the contract's order is"):
        bundles.load(copy)


def test_a_manifest_that_leaves_out_the_model_is_refused(copy: Path) -> None:
    files = json.loads((copy / MANIFEST).read_text())["files"]
    del files[bundles.INT8_MODEL]
    edit_manifest(copy, files=files)
    with pytest.raises(BundleError, match=r"files lacks \['model_int8.onnx'\]"):
        bundles.load(copy)


def test_a_manifest_may_not_reach_outside_its_folder(copy: Path) -> None:
    files = json.loads((copy / MANIFEST).read_text())["files"]
    edit_manifest(copy, files=files | {"../outside": files[bundles.TOKENIZER]})
    with pytest.raises(BundleError, match="only plain file names"):
        bundles.load(copy)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"files": {}}', "null"])
def test_nonsense_is_not_a_manifest(copy: Path, content: str) -> None:
    (copy / MANIFEST).write_text(content)
    with pytest.raises(BundleError, match="not a bundle manifest"):
        bundles.load(copy)


def test_an_empty_folder_is_not_a_bundle(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"must hold bundle\.json"):
        bundles.load(tmp_path)
