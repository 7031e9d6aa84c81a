"""Environment → one frozen Settings. Each field is an environment variable of the same name in capitals."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, PlainValidator, PositiveFloat, PositiveInt, SecretStr, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from feature_checks.contract import MODEL_NAME

Network = IPv4Network | IPv6Network
Switch = Literal["on", "off"]

_LOOPBACK = ("127.0.0.0/8", "::1/128")


def parse_networks(value: str) -> tuple[Network, ...]:
    """Return the networks of a comma-separated list; the words `loopback` and `none` are understood.

    Raises ValueError for anything that is not a network or an address.
    """
    if not isinstance(value, str):
        raise ValueError(f"found {value!r}; expected a comma-separated list such as loopback,10.0.0.0/8")
    words = [word.strip() for word in value.split(",")]
    parts = [part for word in words for part in (_LOOPBACK if word == "loopback" else (word,))]
    return tuple(ip_network(part, strict=False) for part in parts if part not in ("", "none"))


def check_redis_url(url: SecretStr) -> SecretStr:
    """Return the URL. Raises ValueError, which repeats nothing of it, where no connection can be made from it."""
    from redis.asyncio import ConnectionPool

    try:
        ConnectionPool.from_url(url.get_secret_value()).make_connection()  # type: ignore[no-untyped-call]
    except (ValueError, TypeError):
        raise ValueError(
            "expected redis://USER:PASSWORD@HOST:PORT/DB, or rediss:// for TLS and its options, with the password "
            "URL-quoted (`/` is %2F)"
        ) from None
    return url


Networks = Annotated[tuple[Network, ...], NoDecode, PlainValidator(parse_networks)]
RedisUrl = Annotated[SecretStr, AfterValidator(check_redis_url)]


class Settings(BaseSettings):
    """Everything the predictor can be told. Raises pydantic.ValidationError naming each bad variable."""

    model_config = SettingsConfigDict(
        frozen=True, extra="ignore", env_ignore_empty=True, validate_default=True, populate_by_name=True
    )

    state_dir: Path = Field(default=Path(".local"), description="folder of all local state: bundle cache, spool, log")
    model_name: str = Field(default="sentiment", description="name on the wire")
    model_uri: str = Field(
        default=f"models:/{MODEL_NAME}@champion",
        description="MLflow alias (`models:/name@alias`), version (`models:/name/3`) or a bundle folder",
    )
    mlflow_tracking_uri: str = Field(
        default="sqlite:///{STATE_DIR}/mlflow.db",
        description="the registry: `http(s)://…` or `sqlite:///…`",
    )
    mlflow_tracking_username: str | None = Field(default=None, description="user name for the MLflow server")
    mlflow_tracking_password: SecretStr | None = Field(default=None, description="password for the MLflow server")
    mlflow_tracking_token: SecretStr | None = Field(default=None, description="bearer token for the MLflow server")
    http_port: int = Field(default=8080, ge=0, le=65535, description="REST port")
    grpc_port: int = Field(default=8081, ge=0, le=65535, description="gRPC port")
    redis_url: RedisUrl | None = Field(default=None, description="shared cache and limiter; unset: in-process ones")
    rate_limit_redis_url: RedisUrl | None = Field(
        default=None, description="Redis of the limiter where it is not the cache's; default `REDIS_URL`"
    )
    cache: Switch = Field(default="on", description="`off` disables caching of predictions")
    rate_limit: str = Field(default="100/minute", description="allowance per user; `off` disables")
    prediction_log: str = Field(
        default="{STATE_DIR}/predictions", description="folder or fsspec URL of the prediction log; `off` disables"
    )
    log_text: Literal["keep", "hash", "drop"] = Field(
        default="keep", description="what the prediction log does with the review text: `keep`, `hash` or `drop`"
    )
    feedback: Switch = Field(default="off", description="`on` accepts labels for logged predictions")
    log_hash_key: SecretStr | None = Field(
        default=None, description="key of the hashes in the log; unset: made once and kept in `STATE_DIR`"
    )
    log_queue_lines: PositiveInt = Field(
        default=100_000, description="most log lines waiting to be written; more are dropped and counted"
    )
    log_segment_seconds: PositiveFloat = Field(
        default=20, description="age at which a log segment is closed and uploaded, where the log is a URL"
    )
    log_spool_bytes: PositiveInt = Field(
        default=1024**3, description="most bytes waiting to be uploaded; past it log lines are dropped and counted"
    )
    alias_poll_seconds: PositiveFloat = Field(default=15, description="how often the alias is looked up, in seconds")
    trusted_proxies: Networks = Field(
        default="loopback",  # type: ignore[arg-type]  # parsed by the validator, as the variable is
        description="peers whose `X-User-Id` and `X-Forwarded-For` count: networks, `loopback`, `none`",
    )
    max_texts: PositiveInt = Field(default=10_000, description="most texts in one request")
    max_body_bytes: PositiveInt = Field(
        default=16 * 1024 * 1024, description="largest request body, after decompression, in bytes"
    )
    request_timeout_seconds: PositiveFloat = Field(
        default=30, description="deadline of a request; past it the reply is 504"
    )
    grace_seconds: float = Field(
        default=5, ge=0, description="after SIGTERM: how long requests are still accepted while readiness is off"
    )
    drain_seconds: PositiveFloat = Field(
        default=20, description="after the grace period: longest wait for accepted requests"
    )
    keep_bundles: PositiveInt = Field(default=3, description="bundles kept on disk, the served one among them")
    engine_threads: PositiveInt | None = Field(
        default=None, description="inference threads, one core each; default: the cores of the CPU quota"
    )
    batch_texts: PositiveInt = Field(default=12, description="most texts in one inference batch")
    batch_tokens: PositiveInt = Field(default=256, description="most tokens in one inference batch, padding included")
    queue_seconds: PositiveFloat = Field(
        default=0.1, description="estimated wait, in seconds, past which a request is refused with 503"
    )
    queue_texts: PositiveInt = Field(
        default=30_000, description="most texts that wait for inference; past it a request is refused with 503"
    )
    cache_entries: PositiveInt = Field(default=100_000, description="predictions kept in memory")
    cache_ttl_seconds: PositiveInt = Field(default=86_400, description="how long a prediction is kept, in seconds")
    redis_timeout_seconds: PositiveFloat = Field(
        default=0.05, description="a Redis call that takes longer counts as failed, in seconds"
    )

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
