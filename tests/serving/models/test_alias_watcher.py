"""Watching the alias: bundles are fetched, verified, tested, swapped in, refused, kept and found again."""

from __future__ import annotations

import asyncio
import resource
import shutil
import signal
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from feature_checks import bundle as bundles
from feature_checks.bundle import Bundle, BundleError
from serving.models.alias_watcher import AliasWatcher
from serving.models.bundle_store import BundleStore
from serving.models.registry import ModelVersion, RegistryError
from serving.models.source import ModelSource, first_model
from serving.predictor import Predictor
from serving.settings import Settings
from serving.telemetry import metrics
from tests.support.mlflow_registry import Published, variant
from tests.support.ports import free_port
from tests.support.waiting import eventually


@dataclass
class Followed:
    """A predictor that follows the shared MLflow server, without a server of its own."""

    predictor: Predictor
    follower: AliasWatcher
    source: ModelSource
    settings: Settings

    @property
    def version(self) -> str | None:
        """The version that is served."""
        return self.predictor.current.version if self.predictor.current else None

    @property
    def cached(self) -> set[str]:
        """The versions whose bundles are on disk."""
        return {path.parent.name.split("-")[0] for path in (self.settings.state_dir / "bundles").glob("*/bundle")}

    async def becomes(self, version: str) -> None:
        """Wait until a version is served."""
        async with asyncio.timeout(30):
            while self.version != version:  # noqa: ASYNC110
                await asyncio.sleep(0.02)


@pytest.fixture
async def follow(tmp_path: Path, published: Published) -> AsyncIterator[Callable[..., Any]]:
    """Start following, beginning with what is on disk, as the server does."""
    running: list[tuple[Followed, asyncio.Task[None]]] = []

    async def start(**changes: Any) -> Followed:
        defaults: dict[str, Any] = {
            "state_dir": tmp_path,
            "prediction_log": "off",
            "engine_threads": 1,
            "alias_poll_seconds": 0.1,
        }
        settings = Settings(**(defaults | {"mlflow_tracking_uri": published.registry.uri} | changes))
        predictor, source = Predictor(settings), ModelSource(settings)
        followed = Followed(predictor, AliasWatcher(settings, source, predictor), source, settings)
        await predictor.open()
        first = await asyncio.to_thread(first_model, source)
        if first is not None:
            await followed.follower.serve(*first)
        running.append((followed, asyncio.create_task(followed.follower.run())))
        return followed

    yield start
    for followed, task in running:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        followed.source.close()
        await followed.predictor.close()


def refusals(reason: str) -> float:
    """How many bundles have been refused for a reason."""
    return float(metrics.REFUSED_BUNDLES.labels(reason)._value.get())


async def test_the_alias_is_followed(follow: Callable[..., Any], published: Published) -> None:
    published.registry.move_alias(published.cold)
    followed = await follow()
    await followed.becomes(published.cold)
    published.registry.move_alias(published.warm)
    await followed.becomes(published.warm)
    assert followed.cached == {published.cold, published.warm}
    while followed.predictor.versions != [published.warm]:  # noqa: ASYNC110
        await asyncio.sleep(0.02)


async def test_a_restart_begins_with_what_was_served(follow: Callable[..., Any], published: Published) -> None:
    published.registry.move_alias(published.warm)
    first = await follow()
    await first.becomes(published.warm)
    again = ModelSource(first.settings)
    async with asyncio.timeout(5):  # it is written down a moment after the swap
        while (found := first_model(again)) is None:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    assert found[1].version == published.warm
    elsewhere = first.settings.model_copy(update={"model_uri": "models:/review-sentiment/1"})
    assert first_model(ModelSource(elsewhere)) is None


@pytest.mark.parametrize(
    ("state", "reason", "words"),
    [
        ("wrong", "self_test", "even FP32 is off by"),
        ("foreign", "invalid", "contract_version is '0'"),
        ("damaged", "invalid", "the manifest says"),
    ],
)
async def test_a_bad_bundle_is_refused_and_the_old_one_goes_on(
    follow: Callable[..., Any],
    published: Published,
    caplog: pytest.LogCaptureFixture,
    state: str,
    reason: str,
    words: str,
) -> None:
    published.registry.move_alias(published.cold)
    followed = await follow()
    await followed.becomes(published.cold)
    before, bad = refusals(reason), getattr(published, state)
    published.registry.move_alias(bad)
    async with asyncio.timeout(30):
        while refusals(reason) == before:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    await asyncio.sleep(0.5)
    assert refusals(reason) == before + 1
    assert followed.version == published.cold
    assert followed.predictor.usable
    assert any(f"version {bad} is refused" in line and words in line for line in caplog.messages)
    published.registry.move_alias(published.warm)
    await followed.becomes(published.warm)


async def test_fp32_is_served_where_int8_disagrees(
    follow: Callable[..., Any], published: Published, caplog: pytest.LogCaptureFixture
) -> None:
    published.registry.move_alias(published.fp32_only)
    followed = await follow()
    await followed.becomes(published.fp32_only)
    assert followed.predictor.current.prepared.arithmetic == "fp32"
    assert followed.predictor.current.digest.endswith(":fp32")
    assert any("FP32 is served" in line for line in caplog.messages)
    fp32 = list((followed.settings.state_dir / "bundles").glob(f"*/{bundles.FP32_MODEL}"))
    assert len(fp32) == 1
    published.registry.move_alias(published.cold)
    await followed.becomes(published.cold)
    assert followed.predictor.current.prepared.arithmetic == "int8"


async def test_a_pinned_version_is_served_and_not_followed(follow: Callable[..., Any], published: Published) -> None:
    published.registry.move_alias(published.cold)
    followed = await follow(model_uri=f"models:/review-sentiment/{published.warm}")
    await followed.becomes(published.warm)
    assert not followed.source.follows


async def test_without_any_model_the_cause_is_given_and_it_is_tried_again(
    follow: Callable[..., Any], published: Published, caplog: pytest.LogCaptureFixture
) -> None:
    followed = await follow(model_uri="models:/review-sentiment@nobody")
    async with asyncio.timeout(10):
        while "nobody" not in followed.predictor.cause:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    assert "nobody" in followed.predictor.why_not_ready
    assert any("no model is served" in line and "nobody" in line for line in caplog.messages)
    published.registry.client.set_registered_model_alias("review-sentiment", "nobody", published.cold)
    await followed.becomes(published.cold)
    published.registry.client.delete_registered_model_alias("review-sentiment", "nobody")


async def test_a_version_that_cannot_be_remembered_is_served(
    follow: Callable[..., Any], published: Published, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "bundles" / "served.json.new").mkdir(parents=True)  # where its next content would go
    published.registry.move_alias(published.cold)
    followed = await follow()
    await followed.becomes(published.cold)
    await eventually(lambda: "a restart may not find it" in caplog.text)
    published.registry.move_alias(published.warm)
    await followed.becomes(published.warm)


async def test_an_unreachable_registry_gives_clients_no_address_and_the_log_no_password(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    uri = f"http://someone:password1@127.0.0.1:{free_port()}/secret-path"
    settings = Settings(state_dir=tmp_path, prediction_log="off", mlflow_tracking_uri=uri, alias_poll_seconds=0.1)
    predictor, source = Predictor(settings), ModelSource(settings)
    before = metrics.REGISTRY_FAILURES._value.get()
    task = asyncio.create_task(AliasWatcher(settings, source, predictor).run())
    await eventually(lambda: metrics.REGISTRY_FAILURES._value.get() > before)
    await eventually(lambda: "no model is served" in caplog.text)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    source.close()
    assert metrics.REGISTRY_UP._value.get() == 0
    assert predictor.cause == "the model registry cannot be reached (ConnectError)"
    assert "http://***@127.0.0.1" in caplog.text
    assert "password1" not in caplog.text


# -- the cache on disk -------------------------------------------------------------------------------------------


@pytest.fixture
def versions(tmp_path: Path, tiny_bundle: Bundle) -> list[ModelVersion]:
    """Four versions in a plain artifact folder."""
    found = []
    for number in range(1, 5):
        folder = tmp_path / "artifacts" / str(number)
        variant(tiny_bundle, folder / "artifacts", temperature=float(number))
        found.append(ModelVersion(str(number), folder.as_uri()))
    return found


@pytest.fixture
def store(tmp_path: Path) -> BundleStore:
    """An empty store that keeps two bundles."""
    return BundleStore(Settings(state_dir=tmp_path / "state", keep_bundles=2))


def test_only_the_newest_bundles_are_kept(store: BundleStore, versions: list[ModelVersion]) -> None:
    for version in versions:
        store.obtain(version)
        store.record_served(version)
        store.remove_old()
    kept = [version.version for version in versions if store.folder(version).is_dir()]
    assert kept == ["3", "4"]
    assert store.last_served() == versions[3]


def flip_a_bit(path: Path) -> None:
    """Change one bit in the middle of a file."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def cut_the_end(path: Path) -> None:
    """Cut the last byte of a file off."""
    path.write_bytes(path.read_bytes()[:-1])


@pytest.mark.parametrize("damage", [flip_a_bit, cut_the_end, Path.unlink])
@pytest.mark.parametrize("name", [bundles.INT8_MODEL, bundles.TOKENIZER, bundles.REFERENCE])
def test_a_damaged_copy_is_fetched_again(
    store: BundleStore, versions: list[ModelVersion], name: str, damage: Callable[[Path], None]
) -> None:
    folder = store.obtain(versions[0]).folder
    damage(folder / name)
    with pytest.raises(BundleError, match=name):
        bundles.load(folder)
    assert bundles.load(store.obtain(versions[0]).folder).manifest.temperature == 1.0


@pytest.mark.parametrize("damage", [flip_a_bit, cut_the_end])
def test_a_damaged_bundle_folder_is_refused(
    versions: list[ModelVersion], tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    del versions
    folder = tmp_path / "artifacts/1/artifacts/bundle"
    damage(folder / bundles.INT8_MODEL)
    with pytest.raises(BundleError, match=bundles.INT8_MODEL):
        ModelSource(Settings(model_uri=str(folder))).from_disk()


def test_a_full_disk_is_not_taken_for_a_registry_failure(
    store: BundleStore, versions: list[ModelVersion], tmp_path: Path
) -> None:
    """RLIMIT_FSIZE makes the kernel refuse a write in the middle, as a full disk does."""
    earlier = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, earlier[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            store.obtain(versions[0])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, earlier)
        signal.signal(signal.SIGXFSZ, handler)
    assert list((tmp_path / "state" / "bundles").iterdir()) == []
    assert store.obtain(versions[0]).manifest.temperature == 1.0


def test_a_failed_download_leaves_nothing(store: BundleStore, versions: list[ModelVersion], tmp_path: Path) -> None:
    (tmp_path / "artifacts/1/artifacts/bundle" / bundles.TOKENIZER).write_bytes(b"not the one")
    with pytest.raises(BundleError, match=bundles.TOKENIZER):
        store.obtain(versions[0])
    (tmp_path / "artifacts/2/artifacts/bundle" / bundles.INT8_MODEL).unlink()
    with pytest.raises(RegistryError, match=bundles.INT8_MODEL):
        store.obtain(versions[1])
    assert list((tmp_path / "state" / "bundles").iterdir()) == []


def test_a_manifest_cannot_write_elsewhere(store: BundleStore, versions: list[ModelVersion], tmp_path: Path) -> None:
    manifest = tmp_path / "artifacts/1/artifacts/bundle" / bundles.MANIFEST
    manifest.write_text(manifest.read_text(encoding="utf-8").replace(bundles.TOKENIZER, "../../evil"), encoding="utf-8")
    with pytest.raises(BundleError, match="evil"):
        store.obtain(versions[0])


def test_a_damaged_pointer_is_not_fatal(
    store: BundleStore, versions: list[ModelVersion], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store.obtain(versions[0])
    store.record_served(versions[0])
    (tmp_path / "state/bundles/served.json").write_text("{", encoding="utf-8")
    assert store.last_served() is None
    assert "served.json" in caplog.text


def test_a_fetched_fp32_model_is_verified(store: BundleStore, versions: list[ModelVersion], tmp_path: Path) -> None:
    bundle = store.obtain(versions[0])
    (tmp_path / "artifacts/1/artifacts" / bundles.FP32_MODEL).write_bytes(b"not the one")
    with pytest.raises(BundleError, match="the manifest says"):
        store.obtain_fp32(versions[0], bundle)
    shutil.copy(tmp_path / "artifacts/2/artifacts" / bundles.FP32_MODEL, tmp_path / "artifacts/1/artifacts/fp32")
    path = store.obtain_fp32(versions[0], bundle)
    assert path == bundle.fp32_path
