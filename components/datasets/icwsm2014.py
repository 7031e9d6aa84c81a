"""The default reviews: the sentence-level sets of Hutto & Gilbert, "VADER" (ICWSM 2014), MIT licence.

They are part of the *source* distribution of PyPI's vaderSentiment. pip fetches it from the index it is configured
for, verifies its SHA-256 before anything in it is run, and the archive is cached.
"""

from __future__ import annotations

import ast
import hashlib
import io
import logging
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd
from tenacity import retry, retry_if_exception_type, stop_after_attempt, wait_exponential

from feature_checks.contract import GROUP_ID, LABEL, RATING, RATINGS, ROW_ID, SOURCE, TEXT, label_of_rating

logger = logging.getLogger(__name__)

REQUIREMENT: Final = "vaderSentiment==3.3.2"
ARCHIVE: Final = "vaderSentiment-3.3.2.tar.gz"
SHA256: Final = "5d7c06e027fc8b99238edb0d53d970cf97066ef97654009890b83703849632f9"
_INNER: Final = "vaderSentiment-3.3.2/additional_resources/hutto_ICWSM_2014.tar.gz"

DOMAINS: Final = {
    "amazon": "amazonReviewSnippets",
    "movies": "movieReviewSnippets",
    "nyt": "nytEditorialSnippets",
    "tweets": "tweets",
}


class DownloadError(RuntimeError):
    """The archive could not be downloaded, or is not the expected one."""


def load(domains: Sequence[str], cache: Path) -> pd.DataFrame:
    """Return the rows of the named domains: text, label, mean rating and the raw human ratings of each sentence.

    A group is a whole review for the Amazon reviews and a single row elsewhere (`domain:id`). Raises DownloadError.

    Example: `load(["amazon", "tweets"], Path(".local/data"))`.
    """
    unknown = sorted(set(domains) - set(DOMAINS))
    if unknown:
        raise DownloadError(f"source icwsm2014 has no domain {unknown}; expected some of {sorted(DOMAINS)}")
    members = _members(archive(cache))
    return pd.concat([_domain_rows(name, members) for name in domains], ignore_index=True)


def archive(cache: Path) -> Path:
    """Return the verified archive, downloading it when the cache does not hold it."""
    path = cache / ARCHIVE
    if path.is_file():
        _verify(path)
        return path
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache) as scratch:
        fetched = _download(Path(scratch))
        _verify(fetched)
        fetched.replace(path)
    return path


@retry(
    retry=retry_if_exception_type(DownloadError),
    stop=stop_after_attempt(3),
    wait=wait_exponential(multiplier=1, max=8),
    reraise=True,
)
def _download(folder: Path) -> Path:
    logger.info("fetching %s with pip", REQUIREMENT)
    # pip runs a source distribution's setup.py to read its metadata; with a hash it verifies the archive before that.
    requirements = folder / "requirements.txt"
    requirements.write_text(f"{REQUIREMENT} --hash=sha256:{SHA256}\n", encoding="utf-8")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", ":all:"]
    result = subprocess.run(
        [*command, "--require-hashes", "--retries", "1", "--dest", str(folder), "--requirement", str(requirements)],
        capture_output=True,
        text=True,
        check=False,
    )
    if result.returncode != 0:
        raise DownloadError(
            f"pip could not download the default data ({REQUIREMENT}, source distribution) from its index: "
            f"{result.stderr.strip()[-600:]}\nCheck pip's index settings, or pass your own data as the source."
        )
    return folder / ARCHIVE


def _verify(path: Path) -> None:
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != SHA256:
        raise DownloadError(f"{path}: sha256 is {found}; expected {SHA256}. Delete the file to fetch it again.")


def _members(path: Path) -> dict[str, bytes]:
    with tarfile.open(path) as outer:
        inner = outer.extractfile(_INNER)
        if inner is None:
            raise DownloadError(f"{path}: {_INNER} is not a file")
        with tarfile.open(fileobj=io.BytesIO(inner.read())) as tar:
            files = ((member.name, tar.extractfile(member)) for member in tar.getmembers())
            return {Path(name).name: file.read() for name, file in files if file is not None}


def _domain_rows(domain: str, members: dict[str, bytes]) -> pd.DataFrame:
    prefix = DOMAINS[domain]
    truth = _table(members[f"{prefix}_GroundTruth.txt"])
    ratings = {row[0]: np.array(ast.literal_eval(row[3])) for row in _table(members[f"{prefix}_anonDataRatings.txt"])}
    rows = [
        {
            ROW_ID: f"{domain}:{sentence_id}",
            TEXT: text,
            LABEL: label_of_rating(float(mean)),
            GROUP_ID: sentence_id.split("_")[0] if domain == "amazon" else f"{domain}:{sentence_id}",
            SOURCE: domain,
            RATING: float(mean),
            RATINGS: ratings[sentence_id].tolist(),
        }
        for sentence_id, mean, text in truth
    ]
    return pd.DataFrame(rows)


def _table(content: bytes) -> list[list[str]]:
    # The files mix CRLF and LF and hold stray bytes: a damaged character must not cost the row.
    lines = content.decode("utf-8-sig", errors="replace").splitlines()
    return [line.split("\t") for line in lines if line.strip()]
