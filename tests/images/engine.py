"""The Docker engine: images and their sizes, and containers that may do nothing that they need not."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

import docker
from docker.errors import APIError, DockerException, ImageNotFound
from docker.models.containers import Container

from components.registry.lineage import git_revision

ROOT: Final = Path(__file__).parents[2]
BASE_IMAGE: Final = os.environ.get("BASE_IMAGE") or "python:3.11-slim"
SERVING: Final = "review-sentiment-serving:local"
COMPONENTS: Final = "review-sentiment-components:local"
DOCKERFILES: Final = {SERVING: "serving/Dockerfile", COMPONENTS: "components/Dockerfile"}

CONFINED: Final[Mapping[str, Any]] = {
    "read_only": True,
    "tmpfs": {"/tmp": "size=1g"},  # noqa: S108  # the container's own
    "cap_drop": ["ALL"],
    "security_opt": ["no-new-privileges"],
    "network_mode": "host",
}
"""What every container here runs under: only /tmp is writable, and every capability is gone."""


class CheckFailed(AssertionError):
    """An image does not do what it must; the message says what was found and what would be right."""


def require(holds: object, message: str) -> None:
    """Raise CheckFailed with the message unless it holds."""
    if not holds:
        raise CheckFailed(message)


def connect() -> docker.DockerClient:
    """Return a client of the engine. Raises CheckFailed where none answers or it cannot limit memory and CPU."""
    try:
        client = docker.from_env()
        facts = client.info()
    except DockerException as error:
        raise CheckFailed(
            f"no Docker engine answers ({error}). Start one and set DOCKER_HOST where it is not at the usual socket, "
            "or name a script in DOCKER_ENGINE whose `start` starts one and prints the variables to export"
        ) from error
    for limit in ("MemoryLimit", "CpuCfsQuota"):
        require(facts.get(limit), f"the engine reports {limit} = {facts.get(limit)}: it cannot limit containers")
    return client


def build(client: docker.DockerClient, tag: str) -> None:
    """Build an image with BuildKit from BASE_IMAGE, and remove the one that had its tag. Raises CheckFailed."""
    earlier = [str(image.id) for image in client.images.list(tag)]
    arguments = {"BASE_IMAGE": BASE_IMAGE, "REVISION": git_revision()}
    arguments |= {name: os.environ[name] for name in ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL") if name in os.environ}
    options = [word for name, value in arguments.items() for word in ("--build-arg", f"{name}={value}")]
    command = ["docker", "build", "--progress=plain", "--network=host", "--file", DOCKERFILES[tag], "--tag", tag]
    environment = os.environ | {"DOCKER_BUILDKIT": "1"}
    result = subprocess.run([*command, *options, "."], cwd=ROOT, env=environment, check=False)
    require(result.returncode == 0, f"docker build of {tag} ended with {result.returncode}; its own words are above")
    for image in earlier:
        # A container may still use it, and it may be gone already.
        with suppress(APIError):
            if not client.images.get(image).tags:
                client.images.remove(image)


def bytes_above_base(client: docker.DockerClient, tag: str) -> int:
    """Return how many bytes an image adds to its base."""
    try:
        base = client.images.get(BASE_IMAGE)
    except ImageNotFound:  # BuildKit keeps what it pulls to itself
        base = client.images.pull(BASE_IMAGE)
    return int(client.images.get(tag).attrs["Size"]) - int(base.attrs["Size"])


@contextmanager
def running(client: docker.DockerClient, tag: str, **options: Any) -> Iterator[Container]:
    """Run a confined container in the background and remove it at the end."""
    container = client.containers.run(tag, detach=True, **{**CONFINED, **options})
    try:
        yield container
    finally:
        container.remove(force=True, v=True)


def run(client: docker.DockerClient, tag: str, command: list[str], **options: Any) -> str:
    """Run a command in a confined container; return what it printed. Raises CheckFailed with its words."""
    with running(client, tag, command=command, **options) as container:
        code, printed = container.wait()["StatusCode"], container.logs()
    output = _text(printed)
    require(code == 0, f"{' '.join(command)} in {tag} ended with {code}:\n{output[-4000:]}")
    return output


def ask(container: Container, expression: str) -> str:
    """Return what an expression comes to in a Python process inside the container."""
    code, output = container.exec_run(["python", "-c", f"import os, pathlib; print({expression})"])
    answer = _text(output)
    require(code == 0, f"{expression} in {container.name}: {answer[-2000:]}")
    return answer.strip()


def _text(output: bytes | Iterator[bytes]) -> str:
    """Return what a container printed, which the client hands over whole or in pieces."""
    return (output if isinstance(output, bytes) else b"".join(output)).decode()


def shared_folder(path: Path) -> Path:
    """Return a new folder that any user, also the one in a container, may write to."""
    path.mkdir(parents=True)
    path.chmod(0o777)
    return path


def reclaim(client: docker.DockerClient, folder: Path) -> None:
    """Give everything that containers wrote below a folder to the user who runs this, so that it can be removed."""
    code = (
        "import os, sys\n"
        "for parent, folders, files in os.walk(sys.argv[1]):\n"
        "    for name in ('.', *folders, *files):\n"
        "        os.chown(os.path.join(parent, name), *map(int, sys.argv[2:]), follow_symlinks=False)\n"
    )
    volumes = {str(folder): {"bind": str(folder), "mode": "rw"}}
    command = ["-c", code, str(folder), str(os.getuid()), str(os.getgid())]
    run(client, SERVING, command, entrypoint="python", user="0:0", volumes=volumes, cap_drop=[])
