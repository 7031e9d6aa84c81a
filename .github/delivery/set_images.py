"""Write released images, by digest, into an overlay's kustomization.yaml; everything else in it stays as it is.

python .github/delivery/set_images.py manifests/overlays/prod/environment/kustomization.yaml \
    review-sentiment-serving=ghcr.io/owner/review-sentiment-serving@sha256:… \
    review-sentiment-components=ghcr.io/owner/review-sentiment-components@sha256:…
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Mapping
from pathlib import Path

from ruamel.yaml import YAML

REFERENCE = re.compile(r"(?P<repository>[a-z0-9.:/_-]+)@(?P<digest>sha256:[0-9a-f]{64})")


class ImageError(ValueError):
    """An image that is not named by digest: what was found, and what would be right."""


def set_images(kustomization: Path, images: Mapping[str, str]) -> None:
    """Set newName and digest of each image name in kustomize's `images` list, adding entries that it lacks.

    A tag beside a digest is dropped: kustomize would prefer neither clearly. Raises ImageError for a reference without
    digest, before anything is written.
    """
    references = {name: _parsed(name, reference) for name, reference in images.items()}
    yaml = YAML()
    yaml.preserve_quotes = True
    yaml.indent(mapping=2, sequence=4, offset=2)
    yaml.width = 4096
    document = yaml.load(kustomization.read_text(encoding="utf-8"))
    entries = document.setdefault("images", [])
    for name, (repository, digest) in references.items():
        entry = next((one for one in entries if one["name"] == name), None)
        if entry is None:
            entry = {"name": name}
            entries.append(entry)
        entry.pop("newTag", None)
        entry.update({"newName": repository, "digest": digest})
    with kustomization.open("w", encoding="utf-8") as file:
        yaml.dump(document, file)


def _parsed(name: str, reference: str) -> tuple[str, str]:
    match = REFERENCE.fullmatch(reference)
    if match is None:
        raise ImageError(f"{name}: found {reference!r}; expected REPOSITORY@sha256: and 64 hexadecimal digits")
    return match["repository"], match["digest"]


def main() -> int:
    """Run the command line; return its exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kustomization", type=Path)
    parser.add_argument("image", nargs="+", help="NAME=REPOSITORY@sha256:DIGEST")
    arguments = parser.parse_args()
    pairs = [one.partition("=") for one in arguments.image]
    try:
        set_images(arguments.kustomization, {name: reference for name, _, reference in pairs})
    except (ImageError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
