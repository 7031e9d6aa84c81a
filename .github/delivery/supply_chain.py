"""What an image is made of, and whether any of its Python packages has a known vulnerability.

python .github/delivery/supply_chain.py packages IMAGE > packages.txt          # name==version lines; needs docker
python .github/delivery/supply_chain.py sbom packages.txt sbom.json            # CycloneDX; needs cyclonedx-bom
python .github/delivery/supply_chain.py audit packages.txt                     # exit code 1: one has; needs pip-audit
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
_LIST = """
from importlib.metadata import distributions
found = {f"{one.name}=={one.version}" for one in distributions() if one.name != "review-sentiment"}
print(*sorted(found, key=str.lower), sep="\\n")
"""


def packages(image: str) -> list[str]:
    """Return the command that prints what is installed in the image beside this project."""
    return ["docker", "run", "--rm", "--network=none", "--entrypoint=python", image, "-c", _LIST]


def sbom(listed: str, output: str) -> list[str]:
    """Return the command that writes the bill of materials of the listed packages."""
    options = [f"--pyproject={ROOT / 'pyproject.toml'}", "--output-reproducible", "--of=JSON"]
    return [sys.executable, "-m", "cyclonedx_py", "requirements", listed, *options, f"--output-file={output}"]


def audit(listed: str, service: str) -> list[str]:
    """Return the command that asks the service about every listed package, and fails where it cannot."""
    options = ["--vulnerability-service=osv", f"--osv-url={service}", "--no-deps", "--disable-pip", "--strict"]
    return [sys.executable, "-m", "pip_audit", *options, "--progress-spinner=off", f"--requirement={listed}"]


def main() -> int:
    """Run the command line; return its exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    one = commands.add_parser("packages", help="print the packages of an image")
    one.add_argument("image")
    one.set_defaults(command=lambda given: packages(given.image))
    one = commands.add_parser("sbom", help="write the bill of materials of a list of packages")
    one.add_argument("packages", help="a file of name==version lines")
    one.add_argument("output")
    one.set_defaults(command=lambda given: sbom(given.packages, given.output))
    one = commands.add_parser("audit", help="ask about the known vulnerabilities of a list of packages")
    one.add_argument("packages", help="a file of name==version lines")
    one.add_argument("--service", default="https://api.osv.dev/v1/query", help="of the OSV API (default: %(default)s)")
    one.set_defaults(command=lambda given: audit(given.packages, given.service))
    arguments = parser.parse_args()
    return subprocess.run(arguments.command(arguments), check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
