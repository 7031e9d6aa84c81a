"""Fetch the CRD schemas of crd_schemas.toml by pinned release and digest.

python .github/delivery/crd_schemas.py crds            # into crds; any digest that is absent or other: no file
python .github/delivery/crd_schemas.py crds --record   # write the digests of what is there now, for a person to review
"""

from __future__ import annotations

import argparse
import hashlib
import sys
import tomllib
import urllib.request
from pathlib import Path

LIST = Path(__file__).with_suffix(".toml")


class DigestError(Exception):
    """A schema whose digest is not recorded, or is another one: which file, what was found, what would be right."""


def fetch(listed: Path, folder: Path) -> list[Path]:
    """Fetch every listed schema into `folder`; return the files. Raises DigestError before any is written."""
    schemas = tomllib.loads(listed.read_text(encoding="utf-8"))["schema"]
    contents = {schema["file"]: _verified(schema) for schema in schemas}
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    return [folder / name for name in contents]


def record(listed: Path) -> int:
    """Write the digests of what the URLs have now into the list; return how many changed."""
    text, changed = listed.read_text(encoding="utf-8"), 0
    for schema in tomllib.loads(text)["schema"]:
        url, before = schema["url"], schema["sha256"]
        digest = hashlib.sha256(_download(url)).hexdigest()
        text = text.replace(f'url = "{url}"\nsha256 = "{before}"', f'url = "{url}"\nsha256 = "{digest}"')
        changed += digest != before
    listed.write_text(text, encoding="utf-8")
    return changed


def _verified(schema: dict[str, str]) -> bytes:
    name, expected = schema["file"], schema["sha256"]
    if not expected:
        raise DigestError(f"{name}: no sha256 is recorded for {schema['url']}; review the file and run with --record")
    content = _download(schema["url"])
    found = hashlib.sha256(content).hexdigest()
    if found != expected:
        raise DigestError(f"{name}: {schema['url']} has the SHA-256 {found}; recorded is {expected}")
    return content


def _download(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=60) as reply:  # noqa: S310 - the URLs are those of the list
        content: bytes = reply.read()
    return content


def main() -> int:
    """Run the command line; return its exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="Where to put them; name it in CRD_SCHEMAS.")
    parser.add_argument("--record", action="store_true", help="Write the list's digests instead of checking them.")
    arguments = parser.parse_args()
    try:
        if arguments.record:
            print(f"{record(LIST)} digests recorded in {LIST}: review the files before committing")
        for path in fetch(LIST, arguments.folder):
            print(path)
    except (DigestError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
