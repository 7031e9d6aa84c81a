"""Write the requirements of both images with the SHA-256 of every file of every package, whatever the architecture.

python .github/delivery/lock.py            # serving/requirements.txt and components/requirements.txt; needs uv
python .github/delivery/lock.py --check    # exit code 1 where they do not belong to pyproject.toml and constraints.txt

The versions are those of constraints.txt. torch and its CUDA libraries are left out of components/requirements.txt: the
image takes torch from an index of CPU builds, whose files have other hashes.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path

ROOT = Path(__file__).parents[2]
ROLES: Mapping[str, tuple[str, ...]] = {
    "serving": ("serving", "tracing"),
    "components": ("training", "pipelines", "monitoring"),
}
"""The extras that each image installs."""
WITHOUT_HASH = re.compile(r"torch|triton|nvidia-.*|cuda-.*")
LINE = re.compile(
    r"^(?P<name>[A-Za-z0-9._-]+)==(?P<version>\S+)(?P<hashes>( \\\n    --hash=sha256:[0-9a-f]{64})+)$", re.M
)


def canonical(name: str) -> str:
    """Return a distribution's name as the index compares names."""
    return re.sub(r"[-_.]+", "-", name).lower()


def direct(role: str) -> list[str]:
    """Return what pyproject.toml asks for on behalf of an image."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = [one for extra in ROLES[role] for one in project["optional-dependencies"][extra]]
    return sorted({*project["dependencies"], *extras})


def command(role: str) -> list[str]:
    """Return the command that prints an image's packages with the hashes of all their files."""
    extras = [f"--extra={extra}" for extra in ROLES[role]]
    options = ["--python-version=3.11", "--python-platform=linux", "--generate-hashes", "--no-annotate", "--no-header"]
    return ["uv", "pip", "compile", "pyproject.toml", *extras, "--constraint=constraints.txt", *options, "--quiet"]


def lock(role: str) -> str:
    """Return the lock file of an image. Raises RuntimeError with uv's own words where it cannot be made."""
    done = subprocess.run(command(role), capture_output=True, text=True, check=False, cwd=ROOT)
    if done.returncode:
        raise RuntimeError(f"{role}: uv does not resolve: {done.stderr.strip()}")
    head = f"# The {role} image's packages by SHA-256. Made by .github/delivery/lock.py; never edited by hand.\n"
    kept = [match.group(0) for match in LINE.finditer(done.stdout) if not WITHOUT_HASH.fullmatch(match["name"])]
    return head + "\n".join(kept) + "\n"


def problems(role: str, text: str) -> Iterator[str]:
    """Yield where a lock file belongs to other requirements or versions than the project's."""
    pins = dict(re.findall(r"^([A-Za-z0-9._-]+)==(\S+)$", (ROOT / "constraints.txt").read_text(encoding="utf-8"), re.M))
    known = {canonical(name): version for name, version in pins.items()}
    locked = {match["name"]: match["version"] for match in LINE.finditer(text)}
    for line in LINE.sub("", text).splitlines():
        if line and not line.startswith("#"):
            yield f"{role}: found {line[:80]!r}; expected NAME==VERSION with one --hash=sha256: or more"
    for name, version in locked.items():
        if known.get(name) != version:
            yield f"{role}: {name} is locked at {version}; constraints.txt has {known.get(name)}"
    for requirement in direct(role):
        name = canonical(re.split(r"[\[<>=!~; ]", requirement)[0])
        if name not in locked and not WITHOUT_HASH.fullmatch(name):
            yield f"{role}: {name} of pyproject.toml is not locked"


def main() -> int:
    """Run the command line; return its exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="Only compare the files with the project.")
    arguments = parser.parse_args()
    found = []
    for role in ROLES:
        path = ROOT / role / "requirements.txt"
        if not arguments.check:
            path.write_text(lock(role), encoding="utf-8")
            print(path)
        found += list(problems(role, path.read_text(encoding="utf-8") if path.exists() else ""))
    for problem in found:
        print(problem, file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
