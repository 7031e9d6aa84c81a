"""References to models, looked up in a real MLflow: over REST, and in SQLite through the child process."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from feature_checks.bundle import Bundle
from feature_checks.contract import MODEL_NAME
from serving.models.registry import (
    HttpResolver,
    ModelUri,
    ModelVersion,
    RegistryError,
    SqliteResolver,
    registry_client,
    resolver_for,
)
from serving.settings import Settings
from tests.support.mlflow_registry import Published, Registry
from tests.support.ports import free_port

CHAMPION = ModelUri(MODEL_NAME, "champion", None)


def test_model_uris() -> None:
    assert ModelUri.parse("models:/a-b@champion") == ModelUri("a-b", "champion", None)
    assert ModelUri.parse("models:/a-b/12") == ModelUri("a-b", None, "12")
    for wrong in ("models:/a-b", "models:/a/b", "models:/a@b@c", "a@b"):
        with pytest.raises(RegistryError, match=wrong):
            ModelUri.parse(wrong)


def test_a_version_is_told_from_its_namesake_in_another_registry() -> None:
    assert ModelVersion("1", "file:///a").key != ModelVersion("1", "file:///b").key


def test_unknown_scheme_is_named() -> None:
    with pytest.raises(RegistryError, match=r"postgresql.*expected http"):
        resolver_for(Settings(mlflow_tracking_uri="postgresql://x"))


@pytest.fixture
def http(published: Published) -> Iterator[HttpResolver]:
    """A resolver on the shared MLflow server."""
    resolver = resolver_for(Settings(mlflow_tracking_uri=published.registry.uri))
    assert isinstance(resolver, HttpResolver)
    yield resolver
    resolver.close()


def test_http_alias_and_version(http: HttpResolver, published: Published) -> None:
    published.registry.move_alias(published.warm)
    by_alias = http.resolve(CHAMPION)
    assert by_alias.version == published.warm
    assert by_alias.artifact_uri.startswith("mlflow-artifacts:/")
    assert http.resolve(ModelUri(MODEL_NAME, None, published.warm)) == by_alias
    assert http.resolve(ModelUri(MODEL_NAME, None, published.cold)) != by_alias


@pytest.mark.parametrize(
    "uri",
    [ModelUri(MODEL_NAME, "nobody", None), ModelUri("nothing", "champion", None), ModelUri(MODEL_NAME, None, "99")],
)
def test_http_unknown_is_named(http: HttpResolver, uri: ModelUri) -> None:
    unknown = uri.alias if uri.alias != "champion" else uri.name
    with pytest.raises(RegistryError, match=f"answered 40[04] for .*{unknown or uri.version}"):
        http.resolve(uri)


def test_http_server_that_is_down_is_named() -> None:
    uri = f"http://127.0.0.1:{free_port()}"
    resolver = HttpResolver(registry_client(Settings(mlflow_tracking_uri=uri)))
    with pytest.raises(RegistryError, match=r"^the model registry cannot be reached \(ConnectError\)$") as failed:
        resolver.resolve(CHAMPION)
    assert uri in failed.value.detail
    resolver.close()


def test_credentials_are_sent() -> None:
    password, bearer = SecretStr("p"), SecretStr("t")
    basic = registry_client(
        Settings(mlflow_tracking_uri="http://x", mlflow_tracking_username="u", mlflow_tracking_password=password)
    )
    token = registry_client(Settings(mlflow_tracking_uri="http://x", mlflow_tracking_token=bearer))
    assert basic.auth is not None
    request = next(basic.auth.sync_auth_flow(basic.build_request("GET", "/")))
    assert request.headers["authorization"] == "Basic dTpw"
    assert token.build_request("GET", "/").headers["authorization"] == "Bearer t"


def test_sqlite_through_the_child_process(sqlite_registry: Registry, tiny_bundle: Bundle) -> None:
    version = sqlite_registry.publish(tiny_bundle.folder.parent)
    resolver = SqliteResolver(sqlite_registry.uri)
    found = resolver.resolve(CHAMPION)
    assert found.version == version
    assert Path(found.artifact_uri.removeprefix("file://"), "artifacts", "bundle", "bundle.json").is_file()
    assert resolver.resolve(ModelUri(MODEL_NAME, None, version)) == found
    with pytest.raises(RegistryError, match="nobody"):
        resolver.resolve(ModelUri(MODEL_NAME, "nobody", None))
    child = resolver._child
    assert child is not None
    child.kill()
    child.wait()
    assert resolver.resolve(CHAMPION) == found
    resolver.close()


def test_sqlite_without_a_data_base_is_named(tmp_path: Path) -> None:
    with pytest.raises(RegistryError, match=r"the database does not exist") as failed:
        SqliteResolver(f"sqlite:///{tmp_path}/none.db").resolve(CHAMPION)
    assert str(tmp_path) not in str(failed.value)
    assert "none.db" in failed.value.detail
