from __future__ import annotations

import hashlib
import io
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pandas as pd
import pytest

from components.datasets import icwsm2014
from components.datasets.columns import SourceOptions
from components.datasets.files import SourceError
from components.datasets.icwsm2014 import DownloadError
from components.datasets.labels import label_on_scale
from components.datasets.sources import read_sources
from components.ingest import ingest

FORMATS = {
    "csv": lambda frame, path: frame.to_csv(path, index=False),
    "jsonl": lambda frame, path: frame.to_json(path, orient="records", lines=True),
    "parquet": lambda frame, path: frame.to_parquet(path, index=False),
}


def read_rows(source: str, *, cache: Path, options: SourceOptions | None = None) -> pd.DataFrame:
    return read_sources(source, cache=cache, options=options).frame


OWN = pd.DataFrame({"text": ['Good, "quoted"\nand long.', "Bad."], "label": ["positive", "negative"]})


def test_default_data_is_labelled_by_the_mean_rating(data_cache: Path, tmp_path: Path) -> None:
    result = ingest("icwsm2014:amazon", tmp_path / "out", cache=data_cache)
    frame = pd.read_parquet(tmp_path / "out")
    assert result.rows == len(frame) == 3708
    first = frame.iloc[0]
    assert (first["row_id"], first["group_id"], first["label"], first["rating"]) == (
        "amazon:1_1",
        "1",
        "negative",
        -0.9,
    )
    assert len(first["ratings"]) == 20


def test_every_domain_has_its_rows_and_its_own_groups(data_cache: Path) -> None:
    frame = read_rows("icwsm2014:amazon,movies,nyt,tweets", cache=data_cache)
    assert frame["source"].value_counts().to_dict() == {"movies": 10605, "nyt": 5190, "tweets": 4200, "amazon": 3708}
    assert frame["row_id"].is_unique
    assert frame.loc[frame["source"] == "tweets", "group_id"].iloc[0] == "tweets:1"


@pytest.mark.parametrize("suffix", FORMATS)
def test_own_data_by_path_and_by_url(suffix: str, tmp_path: Path, data_cache: Path) -> None:
    path = tmp_path / f"own.{suffix}"
    FORMATS[suffix](OWN, path)
    for source in (str(path), path.as_uri()):
        frame = read_rows(source, cache=data_cache)
        assert frame["text"].tolist() == OWN["text"].tolist()
        assert frame["label"].tolist() == OWN["label"].tolist()
        assert frame["row_id"].tolist() == ["own:0", "own:1"]
        assert frame["group_id"].is_unique


def test_words_that_pandas_takes_for_absent_are_texts(tmp_path: Path, data_cache: Path) -> None:
    texts = ["N/A", "null", "None", "NA", "nan", "fine"]
    frame = pd.DataFrame({"text": [*texts, None], "label": "neutral"})
    frame.to_csv(tmp_path / "own.csv", index=False)
    frame.to_json(tmp_path / "own.jsonl", orient="records", lines=True)
    for name in ("own.csv", "own.jsonl"):
        rows = read_rows(str(tmp_path / name), cache=data_cache)
        assert rows["text"].tolist()[:-1] == texts
        assert pd.isna(rows["text"].iloc[-1]), name


def test_a_folder_of_parquet_files_is_one_source(tmp_path: Path, data_cache: Path) -> None:
    folder = tmp_path / "shards"
    for part in ("train", "test"):
        (folder / part).mkdir(parents=True)
        OWN.assign(text=OWN["text"] + part).to_parquet(folder / part / "0000.parquet")
    for source in (f"{folder.as_uri()}/", str(folder)):
        frame = read_rows(source, cache=data_cache)
        assert sorted(frame["text"]) == sorted(text + part for text in OWN["text"] for part in ("train", "test"))
        assert frame["row_id"].is_unique


def test_a_folder_without_parquet_files_is_named(tmp_path: Path, data_cache: Path) -> None:
    with pytest.raises(SourceError, match="holds no"):
        read_rows(f"{tmp_path}/", cache=data_cache)


def test_extra_data_is_appended(tmp_path: Path, data_cache: Path) -> None:
    extra = tmp_path / "extra.parquet"
    OWN.to_parquet(extra)
    result = ingest("icwsm2014:amazon", tmp_path / "out", cache=data_cache, extra_data=str(extra))
    assert result.rows == 3710
    assert pd.read_parquet(tmp_path / "out")["source"].iloc[-1] == "extra"


def test_the_digest_follows_the_content(tmp_path: Path, data_cache: Path) -> None:
    paths = [tmp_path / "a" / "own.csv", tmp_path / "b" / "own.parquet", tmp_path / "c" / "own.csv"]
    for path in paths:
        path.parent.mkdir()
    OWN.to_csv(paths[0], index=False)
    OWN.to_parquet(paths[1])
    OWN.assign(label=["neutral", "negative"]).to_csv(paths[2], index=False)
    same, also_same, other = (ingest(str(path), tmp_path / "out", cache=data_cache).digest for path in paths)
    assert same == also_same != other


@pytest.mark.parametrize(
    ("rating", "scale", "label"),
    [(1, "1..5", "negative"), (3, "1..5", "neutral"), (5, "1..5", "positive"), (0, "1..5", None),
     (-3, "-4..4", "negative"), (0, "-4..4", "neutral"), (4.5, "-4..4", None), (float("nan"), "-4..4", None)],
)  # fmt: skip
def test_ratings_become_labels_and_impossible_ones_do_not(rating: float, scale: str, label: str | None) -> None:
    assert label_on_scale(rating, scale) == label


def test_a_rating_column_is_enough(tmp_path: Path, data_cache: Path) -> None:
    path = tmp_path / "stars.csv"
    pd.DataFrame({"text": ["a", "b"], "rating": [5, 2]}).to_csv(path, index=False)
    assert read_rows(str(path), cache=data_cache, options=SourceOptions(rating_scale="1..5"))["label"].tolist() == [
        "positive",
        "negative",
    ]


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("reviews.xlsx", "it ends in '.xlsx'; expected one of"),
        ("missing.csv", "source 'missing.csv': it cannot be read as csv"),
    ],
)
def test_unreadable_sources_are_named(source: str, message: str, data_cache: Path) -> None:
    with pytest.raises(SourceError, match=message):
        read_rows(source, cache=data_cache)


def test_an_unknown_domain_is_named(data_cache: Path) -> None:
    with pytest.raises(DownloadError, match=r"no domain \['books'\]; expected some of \['amazon'"):
        read_rows("icwsm2014:books", cache=data_cache)


def test_a_tampered_archive_is_refused(tmp_path: Path) -> None:
    (tmp_path / icwsm2014.ARCHIVE).write_bytes(b"not the archive")
    found = hashlib.sha256(b"not the archive").hexdigest()
    with pytest.raises(DownloadError, match=f"sha256 is {found}; expected {icwsm2014.SHA256}"):
        icwsm2014.archive(tmp_path)


def test_nothing_of_a_tampered_distribution_is_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pip runs setup.py to read the metadata: the archive must be verified before that."""
    marker, index = tmp_path / "setup.py has run", tmp_path / "index"
    index.mkdir()
    setup = f"import pathlib, setuptools\npathlib.Path({str(marker)!r}).touch()\nsetuptools.setup()\n".encode()
    metadata = b"Metadata-Version: 2.1\nName: vaderSentiment\nVersion: 3.3.2\n"
    with tarfile.open(index / icwsm2014.ARCHIVE, "w:gz") as archive:
        for name, content in {"setup.py": setup, "PKG-INFO": metadata}.items():
            member = tarfile.TarInfo(f"vaderSentiment-3.3.2/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    settings = {"NO_INDEX": "1", "FIND_LINKS": str(index), "CONFIG_FILE": os.devnull, "NO_BUILD_ISOLATION": "0"}
    for name, value in settings.items():
        monkeypatch.setenv(f"PIP_{name}", value)
    with pytest.raises(DownloadError, match=icwsm2014.SHA256):
        icwsm2014.archive(tmp_path / "cache")
    assert not marker.exists()


def test_an_unreachable_index_is_a_clear_error_after_retries(tmp_path: Path) -> None:
    environment = {**os.environ, "PIP_INDEX_URL": "http://127.0.0.1:9/", "PIP_CONFIG_FILE": os.devnull,
                   "PIP_NO_CACHE_DIR": "1", "PIP_EXTRA_INDEX_URL": "",
                   "PIP_FIND_LINKS": "", "STATE_DIR": str(tmp_path)}  # fmt: skip
    command = [sys.executable, "-m", "components.ingest", "--output", str(tmp_path / "out")]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode != 0
    assert "could not download the default data (vaderSentiment==3.3.2" in result.stderr.replace("\n", " ")
    assert not (tmp_path / "out").exists()
