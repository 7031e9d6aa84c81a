"""Environments hold what their files pin, and one that cannot be made says why."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from tests.benchmarks.peers.catalogue import PEERS, Peer
from tests.benchmarks.peers.environments import REQUIREMENTS, PeerUnavailable, make

CONSTRAINTS = Path(__file__).parents[3] / "constraints.txt"


def pins(path: Path) -> dict[str, str]:
    lines = path.read_text(encoding="utf-8").splitlines()
    found = [re.fullmatch(r"([A-Za-z0-9._-]+)==(\S+)", line) for line in lines if not line.startswith("#")]
    assert all(found), f"{path.name}: a line is not NAME==VERSION"
    return {match[1].lower().replace("_", "-"): match[2] for match in found if match}


@pytest.mark.parametrize("peer", PEERS, ids=lambda peer: peer.name)
def test_every_package_is_pinned_and_the_engine_is_that_of_this_project(peer: Peer) -> None:
    folder = peer.folder
    found, ours = pins(REQUIREMENTS / f"{folder}.txt"), pins(CONSTRAINTS)
    assert any(name.startswith(folder) for name in found), f"{folder} itself is not pinned"
    for name in ("onnxruntime", "tokenizers"):
        assert found[name] == ours[name], f"{folder} has another {name}"


def test_each_file_of_requirements_belongs_to_a_server() -> None:
    assert {path.stem for path in REQUIREMENTS.iterdir()} == {peer.folder for peer in PEERS}


def test_an_environment_is_made_once_and_again_when_its_requirements_change(tmp_path: Path) -> None:
    requirements, folder = tmp_path / "none.txt", tmp_path / "environment"
    requirements.write_text("# nothing\n", encoding="utf-8")
    programs = make(requirements, folder)
    command = [str(programs / "python"), "-c", "import sys; print(sys.prefix)"]
    assert subprocess.check_output(command, text=True).strip() == str(folder)
    kept = folder / "kept"
    kept.touch()
    make(requirements, folder)
    assert kept.exists()
    requirements.write_text("# changed\n", encoding="utf-8")
    make(requirements, folder)
    assert not kept.exists()


def test_a_package_that_cannot_be_installed_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    requirements, folder = tmp_path / "absent.txt", tmp_path / "environment"
    requirements.write_text("no-such-package==1.0\n", encoding="utf-8")
    for _ in range(2):  # A failed installation is not taken for a finished one.
        with pytest.raises(PeerUnavailable, match=r"No matching distribution found for no-such-package==1\.0"):
            make(requirements, folder)
