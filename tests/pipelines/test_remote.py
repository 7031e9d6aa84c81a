"""The commands that start pipelines on a Kubeflow host, against an API on loopback that refuses a wrong body."""

from __future__ import annotations

import copy
import json
import socket
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner, Result

from pipelines import remote
from pipelines.compiling import COMPILED, compile_pipelines
from pipelines.pipeline_versions import version_name
from pipelines.remote import CronError
from pipelines.run import app
from tests.support.kubeflow import API, Kubeflow

NEEDED = {"log": "s3://logs/predictions", "history": "s3://logs/drift", "labelled": "s3://logs/new.parquet"}
DAILY = "0 0 6 * * *"


@pytest.fixture
def host() -> Iterator[Kubeflow]:
    with Kubeflow.start() as host:
        yield host


@pytest.fixture(autouse=True)
def no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ENDPOINT", "UI_ENDPOINT", "DEFAULT_EXPERIMENT_NAME", "TOKEN", "SA_TOKEN_PATH", "COOKIE"):
        monkeypatch.delenv(f"KF_PIPELINES_{name}", raising=False)


def call(*words: str, params: dict[str, Any] | None = None) -> Result:
    given = [word for name, value in (params or {}).items() for word in ("--param", f"{name}={value}")]
    return CliRunner().invoke(app, [*words, *given])


def schedule(host: Kubeflow, *words: str, cron: str = DAILY) -> Result:
    return call("schedule", "--host", host.url, "--cron", cron, *words, params=NEEDED)


def test_submit_starts_one_training_run_with_typed_parameters(host: Kubeflow) -> None:
    result = call("submit", "--host", host.url, params={"epochs": 2, "seed": 7, "source": "s3://bucket/a=b.parquet"})
    assert result.exit_code == 0, result.output
    (run,), (experiment,) = host.runs, host.experiments
    given = {"epochs": 2.0, "seed": 7, "source": "s3://bucket/a=b.parquet"}
    assert run["runtime_config"]["parameters"] == given | {"promotion": "manual"}
    assert run["pipeline_spec"]["pipeline_spec"]["pipelineInfo"]["name"] == "review-sentiment-training"
    assert (run["experiment_id"], experiment["display_name"]) == (experiment["experiment_id"], "review-sentiment")
    printed = json.loads(result.stdout)
    assert printed == {"id": run["run_id"], "url": f"{host.url}/#/runs/details/{run['run_id']}", "replaced": []}
    assert printed["url"] in result.stderr


def test_submit_takes_the_monitoring_pipeline_another_image_and_a_known_experiment(
    host: Kubeflow, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = "registry.example/pipeline-python@sha256:" + "0" * 64
    compile_pipelines(tmp_path, image)
    monkeypatch.setenv("KF_PIPELINES_ENDPOINT", host.url + "/")
    monkeypatch.setenv("KF_PIPELINES_UI_ENDPOINT", "https://kubeflow.example/pipeline/")
    for _ in range(2):
        result = call("submit", "monitoring", "--experiment", "watch", "--compiled", str(tmp_path), params=NEEDED)
        assert result.exit_code == 0, result.output
    assert [one["display_name"] for one in host.experiments] == ["watch"]
    executors = host.runs[1]["pipeline_spec"]["pipeline_spec"]["deploymentSpec"]["executors"].values()
    assert {one["container"]["image"] for one in executors} == {image}
    assert json.loads(result.stdout)["url"].startswith("https://kubeflow.example/pipeline/#/runs/details/")


@pytest.mark.parametrize("command", ["submit", "schedule"])
def test_steps_without_a_registry_of_their_own_are_warned_about(host: Kubeflow, tmp_path: Path, command: str) -> None:
    compile_pipelines(tmp_path / "with", env={"MLFLOW_TRACKING_URI": "http://mlflow:5000"})
    compile_pipelines(tmp_path / "without")
    words = ("--host", host.url, *(("--cron", DAILY) if command == "schedule" else ()))
    needed = NEEDED if command == "schedule" else {}
    silent, warned = (
        call(command, *words, "--compiled", str(tmp_path / name), params=needed) for name in ("with", "without")
    )
    assert silent.exit_code == warned.exit_code == 0, warned.output
    assert "MLFLOW_TRACKING_URI" not in silent.stderr
    assert "MLFLOW_TRACKING_URI is not set in" in warned.stderr.replace("\n", " ")
    assert "register" in warned.stderr


def test_submit_starts_a_search_which_promotes_nothing(host: Kubeflow) -> None:
    result = call("submit", "search", "--host", host.url, params={"trials": 4})
    assert result.exit_code == 0, result.output
    (run,) = host.runs
    assert run["runtime_config"]["parameters"] == {"trials": 4}


def test_schedule_makes_one_run_at_a_time_without_catch_up(host: Kubeflow) -> None:
    result = schedule(host)
    assert result.exit_code == 0, result.output
    (one,) = host.recurringruns
    assert one["trigger"] == {"cron_schedule": {"cron": DAILY}}
    assert (one["no_catchup"], one["max_concurrency"], one["mode"]) == (True, 1, "ENABLE")
    assert one["runtime_config"]["parameters"] == NEEDED | {"promotion": "manual"}
    assert one["pipeline_spec"]["pipeline_spec"]["pipelineInfo"]["name"] == "review-sentiment-monitoring"
    assert json.loads(result.stdout)["url"] == f"{host.url}/#/recurringrun/details/{one['recurring_run_id']}"
    assert "06:00:00" in result.stderr


def test_promotion_without_a_person_service_account_and_storage_are_given_by_name(host: Kubeflow) -> None:
    words = ("--host", host.url, "--service-account", "pipelines", "--pipeline-root", "s3://bucket/runs")
    assert call("submit", *words, params={"promotion": "auto"}).exit_code == 0
    result = call("schedule", *words, "--cron", DAILY, params=NEEDED | {"promotion": "auto"})
    assert result.exit_code == 0, result.output
    for one in (*host.runs, *host.recurringruns):
        assert one["runtime_config"]["parameters"]["promotion"] == "auto"
        assert one["runtime_config"]["pipeline_root"] == "s3://bucket/runs"
        assert one["service_account"] == "pipelines"


def test_an_uploaded_pipeline_is_a_version_that_runs_name_and_that_is_uploaded_once(host: Kubeflow) -> None:
    for _ in range(2):
        result = call("submit", "--host", host.url, "--upload", params={"epochs": 2})
        assert result.exit_code == 0, result.output
    result = call("schedule", "--host", host.url, "--cron", DAILY, "--upload", params=NEEDED)
    assert result.exit_code == 0, result.output
    assert [one["display_name"] for one in host.pipelines] == [
        "review-sentiment-training",
        "review-sentiment-monitoring",
    ]
    names = [one["display_name"] for one in host.versions]
    assert [name for name in names if not name.startswith("review")] == [
        version_name(COMPILED / "training.yaml"),
        version_name(COMPILED / "monitoring.yaml"),
    ]
    versions = {one["pipeline_version_id"]: one for one in host.versions}
    for one in (*host.runs, *host.recurringruns):
        reference = one["pipeline_version_reference"]
        assert versions[reference["pipeline_version_id"]]["pipeline_id"] == reference["pipeline_id"]
    refused = call("submit", "--host", host.url, "--upload", params={"epoch": 2})
    assert refused.exit_code == 2


def test_schedule_replaces_every_equally_named_one_and_no_other(host: Kubeflow) -> None:
    host.page_limit = 2
    host.recurringruns = [{"display_name": f"watch-{n % 2}", "recurring_run_id": f"old-{n}"} for n in range(10)]
    result = schedule(host, "--name", "watch-1")
    assert result.exit_code == 0, result.output
    old = ["old-1", "old-3", "old-5", "old-7", "old-9"]
    assert json.loads(result.stdout)["replaced"] == old
    # Made first: a refusal must leave the old one in place.
    writes = [line.split("/")[0] for line in host.requests if line.startswith(("POST recurring", "DELETE"))]
    assert writes == ["POST recurringruns", *["DELETE recurringruns"] * 5]
    kept = [one["recurring_run_id"] for one in host.recurringruns[:-1]]
    assert kept == ["old-0", "old-2", "old-4", "old-6", "old-8"]
    again = schedule(host, "--name", "watch-1", cron="0 30 7 * * MON")
    assert json.loads(again.stdout)["replaced"] == [json.loads(result.stdout)["id"]]
    assert [one["trigger"] for one in host.recurringruns[5:]] == [{"cron_schedule": {"cron": "0 30 7 * * MON"}}]


def test_a_refused_schedule_leaves_the_old_one_in_place(host: Kubeflow) -> None:
    host.recurringruns = [{"display_name": "review-sentiment-monitoring", "recurring_run_id": "old"}]
    before = copy.deepcopy(host.recurringruns)
    result = call("schedule", "--host", host.url, "--cron", DAILY, "--namespace", "mine", params=NEEDED)
    assert result.exit_code == 1
    assert "answered 400 Bad Request: In single-user mode, namespace must be empty" in result.stderr
    assert host.recurringruns == before


def test_a_multi_user_host_wants_a_namespace_and_gets_it_everywhere() -> None:
    with Kubeflow.start(multi_user=True) as host:
        result = schedule(host)
        assert result.exit_code == 1
        assert "has a namespace for each user: name yours with --namespace" in result.stderr
        assert schedule(host, "--namespace", "mine").exit_code == 0
        assert schedule(host, "--namespace", "mine").exit_code == 0
        assert (len(host.recurringruns), host.experiments[0]["namespace"]) == (1, "mine")


@pytest.mark.parametrize(
    ("variable", "header", "value"),
    [
        ("KF_PIPELINES_TOKEN", "Authorization", "Bearer secret"),
        ("KF_PIPELINES_SA_TOKEN_PATH", "Authorization", "Bearer secret"),
        ("KF_PIPELINES_COOKIE", "Cookie", "authservice_session=secret"),
    ],
)
def test_credentials_of_the_environment_go_with_every_request(
    variable: str, header: str, value: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Kubeflow.start(authorization={header: value}) as host:
        refused = call("submit", "--host", host.url)
        assert refused.exit_code == 1
        assert "healthz answered 401 application/json" in refused.stderr
        assert "KF_PIPELINES_TOKEN, KF_PIPELINES_SA_TOKEN_PATH or KF_PIPELINES_COOKIE" in refused.stderr
        (tmp_path / "token").write_text("secret\n")
        given = {"KF_PIPELINES_TOKEN": "secret", "KF_PIPELINES_SA_TOKEN_PATH": str(tmp_path / "token")}
        monkeypatch.setenv(variable, given.get(variable, value))
        result = call("submit", "--host", host.url)
        assert result.exit_code == 0, result.output
        assert "secret" not in result.output


def test_a_token_file_that_is_not_there_is_named(host: Kubeflow, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KF_PIPELINES_SA_TOKEN_PATH", "no/such/file")
    result = call("submit", "--host", host.url)
    assert result.exit_code == 1
    assert "KF_PIPELINES_SA_TOKEN_PATH is 'no/such/file', which cannot be read" in result.stderr


def test_a_login_page_is_not_taken_for_the_api() -> None:
    with Kubeflow.start(login_page=True) as host:
        result = call("submit", "--host", host.url)
        assert result.exit_code == 1
        assert "healthz answered 200 text/html, not the API's 200 with JSON" in result.stderr


def test_a_host_that_nobody_answers_on_is_said_at_once() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        result = call("submit", "--host", url)
    assert result.exit_code == 1
    assert f"no Kubeflow Pipelines API at {url}: " in result.stderr
    assert "--host is the URL under which /apis/v2beta1 is served" in result.stderr


@pytest.mark.parametrize(
    ("words", "params", "message"),
    [
        (("submit", "training"), {"epoch": 2}, "has no parameter 'epoch'; it takes"),
        (("submit", "training"), {"epochs": "two"}, "parameter 'epochs' is 'two'; expected Float"),
        (("submit", "monitoring"), {"log": "x"}, "needs the parameters ['history', 'labelled']"),
        (("submit", "serving"), {}, "'serving' is not one of 'training', 'monitoring', 'search'"),
        (("schedule", "--cron", "0 6 * * *"), NEEDED, "has 5 fields; six are needed, seconds first"),
        (("schedule", "--cron", DAILY), {}, "needs the parameters ['history', 'labelled', 'log']"),
        (("submit", "--host", "kubeflow.example"), {}, "write it with http:// or https://"),
    ],
)
def test_usage_errors_are_named_before_anything_is_sent(
    words: tuple[str, ...], params: dict[str, Any], message: str, host: Kubeflow, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KF_PIPELINES_ENDPOINT", host.url)
    result = call(*words, params=params)
    assert result.exit_code == 2
    assert message in " ".join(result.output.split())
    assert not host.experiments + host.runs + host.recurringruns


@pytest.mark.parametrize(
    ("cron", "message"),
    [
        ("0 6 * * *", r"has 5 fields; .* for this one '0 0 6 \* \* \*'"),
        ("@daily", "has 1 fields"),
        ("0 0 25 * * *", "names no time: .*out of range"),
        ("0 0 6 31 2 *", "names no time: failed to find next date"),
        ("a b c d e f", "names no time"),
        ("", "has 0 fields"),
    ],
)
def test_a_bad_cron_says_what_is_wrong(cron: str, message: str) -> None:
    with pytest.raises(CronError, match=message):
        remote.next_runs(cron, 1)


def test_the_first_field_is_seconds_and_times_are_utc() -> None:
    first, second = remote.next_runs("30 15 6 * * *", 2)
    assert (first.hour, first.minute, first.second, first.tzinfo) == (6, 15, 30, UTC)
    assert (second - first).days == 1
    assert first > datetime.now(UTC)


def _without(body: dict[str, Any], name: str) -> None:
    del body[name]


WRONG: dict[str, tuple[Callable[[dict[str, Any]], Any], str]] = {
    "unknown field": (lambda body: body.update(cron=DAILY), "unknown field recurringruns.cron"),
    "unknown field below": (
        lambda body: body["trigger"]["cron_schedule"].update(timezone="UTC"),
        "unknown field recurringruns.trigger.cron_schedule.timezone",
    ),
    "mode": (lambda body: body.update(mode="ON"), "recurringruns.mode is 'ON'; expected one of"),
    "type": (lambda body: body.update(no_catchup="yes"), "recurringruns.no_catchup is 'yes'; expected bool"),
    "number": (lambda body: body.update(max_concurrency=11), "max_concurrency is out of range"),
    "no trigger": (lambda body: _without(body, "trigger"), "expected one of cron_schedule and periodic_schedule"),
    "experiment": (lambda body: body.update(experiment_id="none"), "Experiment none not found"),
    "pipeline": (lambda body: body["pipeline_spec"]["pipeline_spec"].update(steps=[]), 'no field named "steps"'),
    "no pipeline": (lambda body: _without(body, "pipeline_spec"), "pipeline_spec is required"),
    "unknown parameter": (
        lambda body: body["runtime_config"]["parameters"].update(lag=1),
        "parameter(s) not required by pipeline: {'lag'}",
    ),
    "absent parameter": (
        lambda body: _without(body["runtime_config"]["parameters"], "log"),
        "parameter log is not optional",
    ),
    "parameter type": (
        lambda body: body["runtime_config"]["parameters"].update(hours="24"),
        "parameter hours is '24'",
    ),
}


@pytest.fixture(scope="module")
def taken() -> Iterator[tuple[Kubeflow, dict[str, Any]]]:
    """A host, and a body that it took from the command."""
    with Kubeflow.start() as host:
        assert schedule(host).exit_code == 0
        made = {"recurring_run_id", "status"}
        yield host, {name: value for name, value in host.recurringruns[0].items() if name not in made}


@pytest.mark.parametrize("name", WRONG)
def test_the_host_of_these_tests_refuses_a_wrong_body(name: str, taken: tuple[Kubeflow, dict[str, Any]]) -> None:
    host, right = taken
    url, body = f"{host.url}{API}/recurringruns", copy.deepcopy(right)
    assert httpx.post(url, json=body).status_code == 200
    spoil, message = WRONG[name]
    spoil(body)
    before = len(host.recurringruns)
    reply = httpx.post(url, json=body)
    assert reply.status_code == 400
    assert message in reply.json()["message"]
    assert len(host.recurringruns) == before
