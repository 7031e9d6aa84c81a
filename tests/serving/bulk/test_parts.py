"""A data set in parts: the same parts for every run, each scored as `score` does, written whole, and summed up."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import pandas as pd
import pytest

from feature_checks.bundle import Bundle, BundleError, FileDigest, Manifest
from feature_checks.documents.languages import Languages
from serving.bulk import parts, spark
from serving.bulk.decisions import DECISION_COLUMNS
from serving.bulk.files import FileError
from serving.bulk.parts import Plan
from serving.bulk.score import score_file
from serving.documents.decision import Reliance
from serving.inference.engine import Engine, FakeEngine, OnnxEngine
from serving.inference.loading import PreparedModel

TEXTS: list[Any] = [f"text number {number} " * (1 + number % 40) for number in range(2_500)]
ODD: list[Any] = ["", None, "  ", "no " * 300, "x" * 20_001, "y" * 20_002]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Two files with row groups of odd sizes, and files that are no part of the data."""
    folder = tmp_path / "reviews"
    (folder / "day=2").mkdir(parents=True)
    pd.DataFrame({"id": range(1_500), "text": TEXTS[:1_500]}).to_parquet(folder / "a.parquet", row_group_size=70)
    rest = [*TEXTS[1_500:], *ODD]
    pd.DataFrame({"id": range(len(rest)), "text": rest}).to_parquet(folder / "day=2" / "b.parquet", row_group_size=900)
    (folder / "_SUCCESS").touch()
    (folder / ".b.parquet.crc").touch()
    return folder


def prepared(engine: Engine) -> PreparedModel:
    manifest = Manifest(256, 1.0, 0.1, FileDigest("", 0), "", "", "", {})
    return PreparedModel("7", Bundle(Path(), manifest, "d"), engine, "int8")


def score_all(plan: Plan, target: str, engine: Engine | None = None) -> None:
    for part in plan.parts:
        spark.score_part(engine or FakeEngine(), "7", plan.source, plan.column, part, target)


@pytest.mark.parametrize("part_rows", [7, 333, 1_000, 5_000])
def test_the_parts_hold_every_row_once_whatever_the_row_groups(source: Path, part_rows: int) -> None:
    plan = parts.plan(str(source), "text", part_rows)
    texts: list[Any] = []
    for part in plan.parts:
        read = [text for chunk in parts.read_part(plan.source, "text", part) for text in chunk]
        assert (len(read), part.first) == (part.rows, len(texts))
        assert part.rows <= part_rows
        texts += read
    assert texts == [*TEXTS, *ODD]


def test_the_results_are_those_of_score_bit_for_bit(source: Path, tmp_path: Path, tiny_bundle: Bundle) -> None:
    engine = OnnxEngine(tiny_bundle)
    plan = parts.plan(str(source), "text", 900)
    parts.start(str(tmp_path / "scored"), parts.described(plan))
    score_all(plan, str(tmp_path / "scored"), engine)
    pd.DataFrame({"text": [*TEXTS, *ODD]}).to_parquet(tmp_path / "one.parquet")
    score_file(prepared(engine), tmp_path / "one.parquet", tmp_path / "expected.parquet")
    files = sorted((tmp_path / "scored").glob("part-*.parquet"))
    found = pd.concat([pd.read_parquet(file) for file in files], ignore_index=True)
    pd.testing.assert_frame_equal(found, pd.read_parquet(tmp_path / "expected.parquet"), check_exact=True)


def test_the_decisions_are_those_of_score(source: Path, tmp_path: Path, tiny_bundle: Bundle) -> None:
    engine, reliance = OnnxEngine(tiny_bundle), Reliance(Languages(("en",)), None, None)
    plan = parts.plan(str(source), "text", 900)
    parts.start(str(tmp_path / "scored"), parts.described(plan))
    for part in plan.parts:
        spark.score_part(engine, "7", plan.source, plan.column, part, str(tmp_path / "scored"), reliance)
    pd.DataFrame({"text": [*TEXTS, *ODD]}).to_parquet(tmp_path / "one.parquet")
    score_file(prepared(engine), tmp_path / "one.parquet", tmp_path / "expected.parquet", reliance=reliance)
    files = sorted((tmp_path / "scored").glob("part-*.parquet"))
    found = pd.concat([pd.read_parquet(file) for file in files], ignore_index=True)
    assert set(DECISION_COLUMNS) <= set(found.columns)
    pd.testing.assert_frame_equal(found, pd.read_parquet(tmp_path / "expected.parquet"), check_exact=True)


def test_the_report_says_what_was_scored_cut_and_refused(source: Path, tmp_path: Path) -> None:
    target = str(tmp_path / "scored")
    plan = parts.plan(str(source), "text", 1_000)
    parts.start(target, parts.described(plan))
    score_all(plan, target)
    report = spark.summary(parts.reports(target))
    assert report["rows"] == sum(report["labels"].values()) + sum(report["refused"].values()) == 2_506
    assert report["truncated"] == 0  # long texts are read in full
    assert sorted(report["refused"].values()) == [1, 2, 2]
    assert report["refused"]["too many characters; a text may have at most 20000"] == 2


def test_many_reasons_are_summed_up() -> None:
    found = [{"rows": 1, "labels": {}, "truncated": 0, "refused": {f"reason {number}": 1}} for number in range(50)]
    refused = spark.summary(found)["refused"]
    assert (len(refused), refused["other reasons"]) == (21, 30)


class PowerCut(FakeEngine):
    """Raises when it has run some batches."""

    left = 3

    def run(self, batch: Any) -> Any:
        self.left -= 1
        if self.left < 0:
            raise RuntimeError("the power went out")
        return super().run(batch)


def test_a_part_that_fails_leaves_nothing_behind(source: Path, tmp_path: Path) -> None:
    target = str(tmp_path / "scored")
    plan = parts.plan(str(source), "text", 1_000)
    parts.start(target, parts.described(plan))
    with pytest.raises(RuntimeError, match="power"):
        score_all(plan, target, PowerCut())
    assert [path.name for path in (tmp_path / "scored").iterdir()] == [parts.RUN]
    assert parts.finished(target) == set()


def test_parts_are_written_to_and_read_from_urls(source: Path) -> None:
    target = f"memory://scored-{uuid.uuid4().hex}"
    plan = parts.plan(str(source), "text", 1_000)
    parts.start(target, parts.described(plan))
    score_all(plan, target)
    assert parts.finished(target) == {0, 1, 2, 3}
    filesystem, root = fsspec.url_to_fs(target)
    with filesystem.open(f"{root}/part-00001.parquet") as file:
        assert pd.read_parquet(file)["row"].tolist() == list(range(1_000, 1_500))


def test_a_target_of_another_run_is_refused_and_the_same_run_goes_on(source: Path, tmp_path: Path) -> None:
    target = str(tmp_path / "scored")
    origin = parts.described(parts.plan(str(source), "text", 1_000))
    parts.start(target, origin)
    parts.start(target, origin)
    with pytest.raises(FileError, match=r"another run \(other part_rows; see _run.json\)"):
        parts.start(target, parts.described(parts.plan(str(source), "text", 999)))
    pd.DataFrame({"text": ["new"]}).to_parquet(source / "a.parquet")
    with pytest.raises(FileError, match="other files"):
        parts.start(target, parts.described(parts.plan(str(source), "text", 1_000)))
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "notes.txt").touch()
    with pytest.raises(FileError, match="expected an empty or a new folder"):
        parts.start(str(tmp_path / "notes"), origin)


def test_a_source_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileError, match=r"found no \.parquet file"):
        parts.plan(str(tmp_path), "text", 10)
    (tmp_path / "a.parquet").write_text("no", encoding="utf-8")
    with pytest.raises(FileError, match="not readable as Parquet"):
        parts.plan(str(tmp_path), "text", 10)
    pd.DataFrame({"review": ["a"]}).to_parquet(tmp_path / "a.parquet")
    with pytest.raises(FileError, match=r"\['review'\]; expected 'text'"):
        parts.plan(str(tmp_path), "text", 10)


@pytest.fixture
def unpacked(tiny_bundle: Bundle, tmp_path: Path) -> Iterator[Path]:
    """The model as a worker finds it."""
    import zipfile

    model = PreparedModel("7", tiny_bundle, OnnxEngine(tiny_bundle), "fp32")
    with zipfile.ZipFile(spark.write_archive(model, tmp_path)) as archive:
        archive.extractall(tmp_path / "unpacked")
    yield tmp_path / "unpacked"
    spark.worker_engine.cache_clear()


@pytest.mark.parametrize("arithmetic", ["int8", "fp32"])
def test_a_worker_has_the_arithmetic_of_the_driver(unpacked: Path, tiny_bundle: Bundle, arithmetic: str) -> None:
    model = tiny_bundle.fp32_path if arithmetic == "fp32" else None
    expected = OnnxEngine(tiny_bundle, model=model).probabilities(["It works."])
    assert (spark.worker_engine(str(unpacked), arithmetic).probabilities(["It works."]) == expected).all()


def test_a_worker_whose_processor_disagrees_fails(unpacked: Path) -> None:
    import hashlib

    bundle = unpacked / "bundle"
    reference = json.loads((bundle / "reference.json").read_text(encoding="utf-8"))
    reference["probabilities"] = [row[::-1] for row in reference["probabilities"]]
    content = json.dumps(reference).encode()
    (bundle / "reference.json").write_bytes(content)
    manifest = json.loads((bundle / "bundle.json").read_text(encoding="utf-8"))
    manifest["files"]["reference.json"] = {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
    manifest["self_test_max_gap"] = 1e-6
    (bundle / "bundle.json").write_text(json.dumps(manifest), encoding="utf-8")
    with pytest.raises(BundleError, match="int8 is off by"):
        spark.worker_engine(str(unpacked), "int8")
