"""The settings of the predictor. Each field is an environment variable of the same name in capitals."""

from __future__ import annotations

from importlib.util import find_spec
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, PlainValidator, PositiveFloat, PositiveInt, SecretStr, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from feature_checks.bundle import MANIFEST
from feature_checks.contract import MODEL_NAME
from serving.settings_guide import GUIDE
from serving.settings_guide_operations import OPERATIONS_GUIDE

Network = IPv4Network | IPv6Network
Switch = Literal["on", "off"]

_HEADER_VALUE = r"^[\x21-\x7e]+$"
"""Values that can be sent in a header: printable ASCII characters without spaces."""
_LOOPBACK = ("127.0.0.0/8", "::1/128")


def parse_networks(value: str) -> tuple[Network, ...]:
    """Return the networks of a comma-separated list, which may hold the words `loopback` and `none`.

    Raises ValueError for anything else that is not a network or an address.

    Example: `parse_networks("10.0.0.0/8")` returns `(IPv4Network("10.0.0.0/8"),)`.
    """
    if not isinstance(value, str):
        raise ValueError(f"found {value!r}; expected a comma-separated list such as loopback,10.0.0.0/8")
    words = [word.strip() for word in value.split(",")]
    parts = [part for word in words for part in (_LOOPBACK if word == "loopback" else (word,))]
    return tuple(ip_network(part, strict=False) for part in parts if part not in ("", "none"))


def check_redis_url(url: SecretStr) -> SecretStr:
    """Return the URL. Raises ValueError, which does not repeat the URL, if redis-py cannot use it."""
    from redis.asyncio import ConnectionPool

    try:
        ConnectionPool.from_url(url.get_secret_value()).make_connection()  # type: ignore[no-untyped-call]
    except (ValueError, TypeError):
        raise ValueError(
            "expected redis://USER:PASSWORD@HOST:PORT/DB, or rediss:// for TLS and its options, with the password "
            "URL-quoted (`/` is %2F)"
        ) from None
    return url


def mounted_bundle(folder: Path) -> Path | None:
    """Return the bundle in a folder that KServe has mounted: the folder itself or its folder `bundle`; None if neither.

    A logged model of MLflow has its bundle in a folder of that name.
    """
    return next((place for place in (folder, folder / "bundle") if (place / MANIFEST).is_file()), None)


Networks = Annotated[tuple[Network, ...], NoDecode, PlainValidator(parse_networks)]
RedisUrl = Annotated[SecretStr, AfterValidator(check_redis_url)]


def check_key_file(path: Path) -> Path:
    """Return the path. Raises ValueError if its API keys cannot be read."""
    from serving.access.keys import read_keys

    read_keys(path)
    return path


def check_trace_endpoint(url: str) -> str:
    """Return the URL. Raises ValueError if it is not one, or if the packages for tracing are missing."""
    if not url.startswith(("http://", "https://")):
        raise ValueError("expected a URL such as http://collector:4318")
    if find_spec("opentelemetry") is None or find_spec("opentelemetry.exporter") is None:
        raise ValueError("tracing needs more packages: install the extra `tracing` of review-sentiment")
    return url


TraceEndpoint = Annotated[str, AfterValidator(check_trace_endpoint)]
KeyFile = Annotated[Path, AfterValidator(check_key_file)]


def _field(name: str, default: Any, **bounds: Any) -> Any:
    """Return the field of this name with its guide; `bounds` are constraints of pydantic's Field."""
    guide = (GUIDE | OPERATIONS_GUIDE)[name]
    about: dict[str, Any] = {"group": guide.group, "when": guide.when}
    return Field(default=default, description=guide.description, json_schema_extra=about, **bounds)


class Settings(BaseSettings):
    """Everything that the environment configures.

    Raises pydantic.ValidationError, which names each bad variable.

    Example: `Settings(cache="off").http_port` is 8080 where `HTTP_PORT` is not set.
    """

    model_config = SettingsConfigDict(
        frozen=True, extra="ignore", env_ignore_empty=True, validate_default=True, populate_by_name=True
    )

    state_dir: Path = _field("state_dir", Path(".local"))
    model_name: str = _field("model_name", "sentiment")
    model_uri: str = _field("model_uri", f"models:/{MODEL_NAME}@champion")
    mlflow_tracking_uri: str = _field("mlflow_tracking_uri", "sqlite:///{STATE_DIR}/mlflow.db")
    mlflow_tracking_username: str | None = _field("mlflow_tracking_username", None)
    mlflow_tracking_password: SecretStr | None = _field("mlflow_tracking_password", None)
    mlflow_tracking_token: SecretStr | None = _field("mlflow_tracking_token", None)
    alias_poll_seconds: PositiveFloat = _field("alias_poll_seconds", 15)
    keep_bundles: PositiveInt = _field("keep_bundles", 3)
    http_port: int = _field("http_port", 8080, ge=0, le=65535)
    grpc_port: int = _field("grpc_port", 8081, ge=0, le=65535)
    grace_seconds: float = _field("grace_seconds", 5, ge=0)
    drain_seconds: PositiveFloat = _field("drain_seconds", 20)
    redis_url: RedisUrl | None = _field("redis_url", None)
    rate_limit_redis_url: RedisUrl | None = _field("rate_limit_redis_url", None)
    redis_timeout_seconds: PositiveFloat = _field("redis_timeout_seconds", 0.05)
    cache: Switch = _field("cache", "on")
    cache_entries: PositiveInt = _field("cache_entries", 100_000)
    cache_ttl_seconds: PositiveInt = _field("cache_ttl_seconds", 86_400)
    rate_limit: str = _field("rate_limit", "100/minute")
    trusted_proxies: Networks = _field("trusted_proxies", "loopback")
    api_keys_file: KeyFile | None = _field("api_keys_file", None)
    prediction_log: str = _field("prediction_log", "{STATE_DIR}/predictions")
    log_text: Literal["keep", "hash", "drop"] = _field("log_text", "keep")
    feedback: Switch = _field("feedback", "off")
    log_hash_key: SecretStr | None = _field("log_hash_key", None)
    log_queue_lines: PositiveInt = _field("log_queue_lines", 100_000)
    log_queue_bytes: PositiveInt = _field("log_queue_bytes", 64 * 1024**2)
    log_segment_seconds: PositiveFloat = _field("log_segment_seconds", 20)
    log_spool_bytes: PositiveInt = _field("log_spool_bytes", 1024**3)
    max_texts: PositiveInt = _field("max_texts", 10_000)
    max_body_bytes: PositiveInt = _field("max_body_bytes", 16 * 1024 * 1024)
    max_bodies_bytes: PositiveInt = _field("max_bodies_bytes", 160 * 1024 * 1024)
    default_max_error: float | None = _field("default_max_error", None, gt=0, lt=1)
    request_timeout_seconds: PositiveFloat = _field("request_timeout_seconds", 30)
    engine_threads: PositiveInt | None = _field("engine_threads", None)
    batch_texts: PositiveInt = _field("batch_texts", 16)
    batch_tokens: PositiveInt = _field("batch_tokens", 384)
    queue_seconds: PositiveFloat = _field("queue_seconds", 0.1)
    queue_texts: PositiveInt = _field("queue_texts", 200_000)
    queue_tokens: PositiveInt = _field("queue_tokens", 2_000_000)
    engine_timeout_seconds: PositiveFloat = _field("engine_timeout_seconds", 30)
    max_connections: PositiveInt = _field("max_connections", 10_000)
    header_timeout_seconds: PositiveFloat = _field("header_timeout_seconds", 10)
    keep_alive_seconds: PositiveInt = _field("keep_alive_seconds", 65)
    write_timeout_seconds: PositiveFloat = _field("write_timeout_seconds", 30)
    max_connection_age_seconds: PositiveFloat | None = _field("max_connection_age_seconds", None)

    log_sample: float = _field("log_sample", 0.001, ge=0, le=1)
    otel_exporter_otlp_endpoint: TraceEndpoint | None = _field("otel_exporter_otlp_endpoint", None)
    model_dir: Path = _field("model_dir", Path("/mnt/models"))
    ce_merge: bool = _field("ce_merge", False)
    ce_type: str = _field("ce_type", "io.kserve.inference.response", pattern=_HEADER_VALUE)
    ce_source: str | None = _field("ce_source", None, pattern=_HEADER_VALUE)

    @model_validator(mode="before")
    @classmethod
    def _prefer_mounted_bundle(cls, values: dict[str, Any]) -> dict[str, Any]:
        if not values.get("model_uri"):
            folder = Path(values.get("model_dir") or cls.model_fields["model_dir"].default)
            bundle = mounted_bundle(folder)
            if bundle is not None:
                values["model_uri"] = str(bundle)
        return values

    @model_validator(mode="before")
    @classmethod
    def _fill_state_dir(cls, values: dict[str, Any]) -> dict[str, Any]:
        state_dir = str(values.get("state_dir", cls.model_fields["state_dir"].default))
        for name in ("mlflow_tracking_uri", "prediction_log"):
            default = cls.model_fields[name].default
            values.setdefault(name, default.replace("{STATE_DIR}", state_dir))
        if values.get("rate_limit_redis_url") is None:
            values["rate_limit_redis_url"] = values.get("redis_url")
        return values
