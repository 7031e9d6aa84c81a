"""Start a compiled pipeline on a Kubeflow Pipelines host, once or on a schedule, with the KFP SDK."""

from __future__ import annotations

import contextlib
import io
import json
import os
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from pipelines.parameters import ParameterError, typed_arguments
from pipelines.pipeline_versions import uploaded

EXPERIMENT: Final = "review-sentiment"
UNATTENDED: Final = {"promotion": "manual"}
"""Parameters of a run on a cluster unless others are given: no model is promoted without a person."""
HEALTH: Final = "/apis/v2beta1/healthz"
CREDENTIALS: Final = "KF_PIPELINES_TOKEN, KF_PIPELINES_SA_TOKEN_PATH or KF_PIPELINES_COOKIE"


class RemoteError(RuntimeError):
    """The host could not be reached or refused; the message says what it answered and what would be right."""


class CronError(ValueError):
    """A schedule that is no six-field cron expression; the message says what is wrong with it."""


@dataclass(frozen=True)
class Host:
    """A Kubeflow Pipelines host; credentials come from the environment (see `CREDENTIALS`)."""

    url: str
    """Where /apis/v2beta1 is served, such as https://kubeflow.example/pipeline."""
    namespace: str = ""
    """Profile namespace of a multi-user host; "" on a single-user host."""
    experiment: str = EXPERIMENT
    service_account: str = ""
    """Kubernetes service account of the steps; "" for the host's default."""
    pipeline_root: str = ""
    """URL below which the steps' outputs are kept; "" for the host's default."""
    upload: bool = False
    """Upload the compiled pipeline as a version, and run that, instead of sending the pipeline with the run."""

    def source(self, client: Any, compiled: Path) -> dict[str, str]:
        """Return the pipeline of a run as the SDK takes it."""
        if not self.upload:
            return {"pipeline_package_path": str(compiled)}
        return uploaded(client, compiled, self.namespace)

    def options(self) -> dict[str, Any]:
        """Return what a run and a recurring run take alike."""
        return {"service_account": self.service_account or None, "pipeline_root": self.pipeline_root or None}


@dataclass(frozen=True)
class Started:
    """What the host made: its id, its page for people, and the ids of the schedules that it replaced."""

    id: str
    url: str
    replaced: tuple[str, ...] = ()


def submit(host: Host, compiled: Path, arguments: Mapping[str, str]) -> Started:
    """Start one run of the compiled YAML with `arguments` (texts, read by each parameter's type).

    On a cluster an accepted model waits for a person unless `promotion` is given. Raises ParameterError before anything
    is sent and RemoteError for what the host says.
    """
    typed = checked_arguments(compiled, arguments)
    name = f"{compiled.stem} {datetime.now(UTC):%Y-%m-%d %H:%M:%S}"
    with _connected(host) as client:
        source = host.source(client, compiled)
        run = client.run_pipeline(_experiment_id(client, host), name, params=typed, **source, **host.options())
    return Started(run.run_id, f"{_user_interface(host)}/#/runs/details/{run.run_id}")


def schedule(host: Host, compiled: Path, arguments: Mapping[str, str], *, name: str, cron: str) -> Started:
    """Make the recurring run `name`: on `cron` (six fields, UTC), no catch-up, one run at a time.

    On a cluster an accepted model waits for a person unless `promotion` is given.
    Equally named recurring runs that the namespace already has are deleted once the new one exists, so that a refusal
    leaves the old one in place. Raises CronError and ParameterError before anything is sent, RemoteError for what the
    host says.
    """
    typed = checked_arguments(compiled, arguments)
    next_runs(cron, 1)
    with _connected(host) as client:
        before = list(_recurring_runs_named(client, host, name))
        made = client.create_recurring_run(
            _experiment_id(client, host),
            name,
            description=f"{compiled.stem} pipeline, {cron} UTC",
            cron_expression=cron,
            max_concurrency=1,
            no_catchup=True,
            params=typed,
            **host.source(client, compiled),
            **host.options(),
        )
        for old in before:
            client.delete_recurring_run(old)
    link = f"{_user_interface(host)}/#/recurringrun/details/{made.recurring_run_id}"
    return Started(made.recurring_run_id, link, tuple(before))


def steps_without(compiled: Path, variable: str) -> list[str]:
    """Return the steps of the compiled YAML whose containers do not get the environment variable."""
    import yaml

    pipeline = next(yaml.safe_load_all(compiled.read_text(encoding="utf-8")))
    executors = pipeline["deploymentSpec"]["executors"]
    containers = {name.removeprefix("exec-"): executor.get("container", {}) for name, executor in executors.items()}
    return [
        name
        for name, container in containers.items()
        if variable not in {setting["name"] for setting in container.get("env", [])}
    ]


def next_runs(cron: str, count: int) -> list[datetime]:
    """Return the next times (UTC) of a six-field cron expression: second minute hour day month weekday.

    Raises CronError for any other number of fields: Kubeflow's parser makes the weekday optional, so that it would
    take the familiar five fields for seconds, minutes, hours, days and months, and run at other times than meant.
    """
    from croniter import CroniterError, croniter

    fields = len(cron.split())
    if fields != 6:
        hint = f"; for this one '0 {cron}'" if fields == 5 else ""
        raise CronError(
            f"the cron expression {cron!r} has {fields} fields; six are needed, seconds first: "
            f"second minute hour day month weekday, such as '0 0 6 * * *' for 06:00 UTC every day{hint}"
        )
    try:
        times = croniter(cron, datetime.now(UTC), second_at_beginning=True)
        return [times.get_next(datetime) for _ in range(count)]
    except CroniterError as error:
        raise CronError(f"the cron expression {cron!r} names no time: {error}") from error


def checked_arguments(compiled: Path, arguments: Mapping[str, str]) -> dict[str, Any]:
    """Return the arguments in the types of the pipeline, with those of UNATTENDED that it takes and that are not given.

    Raises ParameterError for unknown, wrong and absent ones.
    """
    from kfp import components

    inputs = components.load_component_from_file(str(compiled)).component_spec.inputs or {}
    unattended = {name: value for name, value in UNATTENDED.items() if name in inputs}
    typed = typed_arguments(inputs, unattended | dict(arguments))
    absent = [name for name, parameter in inputs.items() if not parameter.optional and name not in typed]
    if absent:
        raise ParameterError(f"the {compiled.stem} pipeline needs the parameters {absent}: give each as NAME=VALUE")
    return typed


@contextlib.contextmanager
def _connected(host: Host) -> Iterator[Any]:
    """Yield the SDK's client; what it raises inside becomes a RemoteError, and what it prints is dropped."""
    import urllib3
    from kfp import Client
    from kfp_server_api import ApiException

    token, cookie = _credentials()
    _check_health(host, token, cookie)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            # The SDK gives this advice whatever the version of the host.
            warnings.filterwarnings("ignore", "This client only works with Kubeflow Pipeline", FutureWarning)
            # "kubeflow" is the SDK's word for no namespace of the user's own.
            yield Client(host.url, namespace=host.namespace or "kubeflow", existing_token=token, cookies=cookie)
    except ApiException as error:
        raise RemoteError(f"{host.url} answered {error.status} {error.reason}: {_message(error.body)}") from error
    except urllib3.exceptions.HTTPError as error:
        raise RemoteError(f"the connection to {host.url} broke: {error}") from error


def _credentials() -> tuple[str | None, str | None]:
    """Return bearer token and cookie of the environment. Raises RemoteError when the token's file cannot be read."""
    from kfp.client import KF_PIPELINES_SA_TOKEN_ENV

    token, path = os.environ.get("KF_PIPELINES_TOKEN"), os.environ.get(KF_PIPELINES_SA_TOKEN_ENV)
    if path and not token:
        try:
            token = Path(path).read_text(encoding="utf-8").strip()
        except OSError as error:
            raise RemoteError(f"{KF_PIPELINES_SA_TOKEN_ENV} is {path!r}, which cannot be read: {error}") from error
    return token or None, os.environ.get("KF_PIPELINES_COOKIE") or None


def _check_health(host: Host, token: str | None, cookie: str | None) -> None:
    """Raise RemoteError unless the host answers as the API does: the SDK itself would try for minutes."""
    import httpx

    headers = {"Authorization": f"Bearer {token}"} if token else {}
    headers |= {"Cookie": cookie} if cookie else {}
    try:
        reply = httpx.get(f"{host.url}{HEALTH}", headers=headers, timeout=10, trust_env=False)
    except (httpx.TransportError, httpx.InvalidURL) as error:
        raise RemoteError(
            f"no Kubeflow Pipelines API at {host.url}: {error}. --host is the URL under which /apis/v2beta1 is served, "
            "such as http://localhost:8888 while `kubectl port-forward -n kubeflow svc/ml-pipeline 8888` runs"
        ) from error
    if not (reply.status_code == 200 and reply.text.lstrip().startswith("{")):
        raise RemoteError(
            f"{host.url}{HEALTH} answered {reply.status_code} {reply.headers.get('Content-Type', '')}, not the API's "
            f"200 with JSON; is it the right URL, and does it need credentials ({CREDENTIALS})?"
        )
    if reply.json().get("multi_user") and not host.namespace:
        raise RemoteError(f"{host.url} has a namespace for each user: name yours with --namespace")


def _experiment_id(client: Any, host: Host) -> str:
    return str(client.create_experiment(host.experiment, namespace=host.namespace or None).experiment_id)


def _recurring_runs_named(client: Any, host: Host, name: str) -> Iterator[str]:
    equal = json.dumps({"predicates": [{"operation": "EQUALS", "key": "display_name", "stringValue": name}]})
    token = ""
    while True:
        page = client.list_recurring_runs(token, 100, namespace=host.namespace or None, filter=equal)
        yield from (run.recurring_run_id for run in page.recurring_runs or ())
        token = page.next_page_token
        if not token:
            return


def _user_interface(host: Host) -> str:
    return (os.environ.get("KF_PIPELINES_UI_ENDPOINT") or host.url).rstrip("/")


def _message(body: str | None) -> str:
    """Return the words of the API's error body, which is google.rpc.Status as JSON."""
    try:
        return str(json.loads(body or "")["message"])
    except (ValueError, KeyError, TypeError):
        return body or "no reason given"
