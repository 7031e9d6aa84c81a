"""The examples and the files beside the overlays: their form, and that they fit what the overlays hold."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import typer
import yaml

from .conftest import Rendered
from .render import MANIFESTS, MODES, ROOT, Document, name_of, of_kind, render
from .rules import schemas
from .rules.leaves import leaves

EXAMPLES = MANIFESTS / "examples"
GATEWAY = MANIFESTS / "laptop" / "gateway.yaml"


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.yaml")), ids=lambda path: path.stem)
def test_an_example_is_well_formed(path: Path) -> None:
    if path.stem == "kustomization":
        assert set(yaml.safe_load(path.read_text(encoding="utf-8"))["resources"]) == {
            one.name for one in EXAMPLES.glob("*.yaml") if one != path
        }
        return
    documents = list(yaml.safe_load_all(path.read_text(encoding="utf-8")))
    assert [problem for document in documents for problem in schemas.problems(document)] == []


def test_an_unknown_field_of_an_example_is_noticed() -> None:
    (document,) = yaml.safe_load_all((EXAMPLES / "argo-cd.yaml").read_text(encoding="utf-8"))
    document["spec"]["ignoreDifference"] = []
    assert any("'ignoreDifference' was unexpected" in problem for problem in schemas.problems(document))


def test_the_argo_application_names_a_part_and_ignores_what_people_and_controllers_write() -> None:
    (application,) = of_kind(render(EXAMPLES), "Application")
    assert (MANIFESTS.parent / application["spec"]["source"]["path"] / "kustomization.yaml").exists()
    pointers = [one for rule in application["spec"]["ignoreDifferences"] for one in rule.get("jsonPointers", [])]
    assert {"/spec/predictor/canaryTrafficPercent", "/spec/predictor/model/env"} <= set(pointers)


def test_the_identity_policy_is_for_the_names_that_prod_serves(rendered: Rendered) -> None:
    (policy,) = of_kind(render(EXAMPLES), "AuthorizationPolicy")
    (rule,) = policy["spec"]["rules"]
    names = {
        one
        for route in of_kind(rendered("prod/standard"), "HTTPRoute", "GRPCRoute")
        for one in route["spec"]["hostnames"]
    }
    assert set(rule["to"][0]["operation"]["hosts"]) == {f"{name}{port}" for name in names for port in ("", ":*")}


def secrets_of(documents: list[Document]) -> set[tuple[str, str]]:
    """Return the namespace and name of every Secret that the documents refer to."""
    found = set()
    for document in documents:
        for path, value in leaves(document):
            if re.search(r"\.(secretKeyRef|secretRef)\.name$|\.secret\.secretName$", path):
                found.add((document["metadata"]["namespace"], value))
    return found


@pytest.mark.parametrize("mode", MODES)
def test_the_examples_make_every_secret_of_prod(mode: str, rendered: Rendered) -> None:
    examples = render(EXAMPLES)
    made = {
        (one["metadata"]["namespace"], one["spec"].get("target", {}).get("name") or one["spec"].get("secretName"))
        for one in of_kind(examples, "ExternalSecret", "Certificate")
    }
    wanted = secrets_of(rendered(f"prod-{mode}"))
    assert len(wanted) > 10
    assert wanted - made == set()


def test_the_spark_application_runs_the_scoring_script_with_this_spark() -> None:
    from serving.bulk import spark_app

    (application,) = of_kind(render(EXAMPLES), "SparkApplication")
    spec = application["spec"]
    script = spec["mainApplicationFile"].removeprefix("local:///app/")
    assert Path(str(spark_app.__file__)) == ROOT / script
    assert f"pyspark=={spec['sparkVersion']}" in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    command = typer.main.get_command(spark_app.app)
    given = command.make_context("score", list(spec["arguments"])).params
    assert given == {"source": "s3://reviews/2026", "target": "s3://scored/2026", "text_column": "text"} | {
        "part_rows": spark_app.PART_ROWS,
        "decisions": False,
        "max_error": None,
    }
    # An application that failed is submitted again, and scores the parts that are missing.
    assert (spec["restartPolicy"]["type"], spec["restartPolicy"]["onFailureRetries"] > 0) == ("OnFailure", True)


def test_the_spark_application_has_the_secrets_and_the_registry_of_prod(rendered: Rendered) -> None:
    examples = render(EXAMPLES)
    (application,) = of_kind(examples, "SparkApplication")
    namespace = application["metadata"]["namespace"]
    made = {
        (one["metadata"]["namespace"], one["spec"]["target"]["name"]) for one in of_kind(examples, "ExternalSecret")
    }
    wanted = secrets_of([application])
    assert wanted == {(namespace, "s3"), (namespace, "mlflow-pipelines")}
    assert wanted <= made
    variables = {one["name"]: one.get("value") for one in application["spec"]["driver"]["env"]}
    services = {
        one["metadata"]["name"]: one["metadata"]["namespace"] for one in of_kind(rendered("prod/platform"), "Service")
    }
    assert variables["MLFLOW_TRACKING_URI"] == f"http://mlflow.{services['mlflow']}:5000"
    for pod in (application["spec"]["driver"], application["spec"]["executor"]):
        assert {"secretRef": {"name": "s3"}} in pod["envFrom"]
        assert (pod["securityContext"]["runAsNonRoot"], pod["securityContext"]["allowPrivilegeEscalation"]) == (
            True,
            False,
        )


def test_the_train_job_is_the_one_that_the_step_submits() -> None:
    from components.launching import train_job
    from pipelines.step_settings import VOLUME_PATH, load, settings_of

    examples = render(EXAMPLES)
    (job,) = of_kind(examples, "TrainJob")
    (runtime,) = of_kind(examples, "TrainingRuntime")
    name = job["metadata"]["name"]
    written = train_job.manifest(name, f"{VOLUME_PATH}/{name}", nodes=2, processes=2)
    assert job["metadata"].pop("namespace") == runtime["metadata"]["namespace"]
    assert job == written
    assert job["spec"]["runtimeRef"]["name"] == runtime["metadata"]["name"]
    # A job ends no later than the step that waits for it.
    assert job["spec"]["activeDeadlineSeconds"] == settings_of("train", load()).timeout_seconds
    (role,) = [one for one in of_kind(examples, "Role") if one["metadata"]["name"].endswith("train-jobs")]
    (rule,) = role["rules"]
    assert (rule["apiGroups"], rule["resources"]) == ([train_job.GROUP], [train_job.PLURAL])


def test_the_machines_of_a_train_job_share_the_volume_of_the_step() -> None:
    from pipelines.step_settings import VOLUME_PATH

    examples = render(EXAMPLES)
    (runtime,) = of_kind(examples, "TrainingRuntime")
    (claim,) = of_kind(examples, "PersistentVolumeClaim")
    (node,) = runtime["spec"]["template"]["spec"]["replicatedJobs"]
    pod = node["template"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    (mount,) = container["volumeMounts"]
    (volume,) = [one for one in pod["volumes"] if one["name"] == mount["name"]]
    assert mount["mountPath"] == VOLUME_PATH
    assert volume["persistentVolumeClaim"]["claimName"] == claim["metadata"]["name"]
    assert claim["spec"]["accessModes"] == ["ReadWriteMany"]
    # Kubeflow Trainer puts the fields of a TrainJob into the container of this name and label.
    assert (container["name"], node["template"]["metadata"]["labels"]) == (
        "node",
        {"trainer.kubeflow.org/trainjob-ancestor-step": "trainer"},
    )


PATCH = re.compile(r"patch inferenceservice \S+ --type merge --patch \\\n  '(\{.*?\})'", re.S)


def test_no_documented_command_sets_a_canary_percentage_without_a_change() -> None:
    """KServe takes a percentage under 100 that comes without a new revision for a rollback."""
    texts = [path.read_text(encoding="utf-8") for path in [*ROOT.glob("docs/**/*.md"), MANIFESTS / "README.md"]]
    patches = [json.loads(patch)["spec"]["predictor"] for text in texts for patch in PATCH.findall(text)]
    static = [
        one
        for one in patches
        if (one.get("canaryTrafficPercent") or 0) < 100 and one.keys() == {"canaryTrafficPercent"}
    ]
    assert [one for one in static if one["canaryTrafficPercent"] is not None] == []
    assert len(patches) == sum(text.count("patch inferenceservice") for text in texts) >= 4


def test_the_certificate_is_the_secret_that_both_redis_mount(rendered: Rendered) -> None:
    certificates = {name_of(one): one["spec"] for one in of_kind(render(EXAMPLES), "Certificate")}
    redis = certificates["Certificate/redis"]
    sets = of_kind(rendered("prod/knative"), "StatefulSet")
    assert set(redis["dnsNames"]) == {one["spec"]["serviceName"] for one in sets}
    for one in sets:
        volumes = {volume["name"]: volume for volume in one["spec"]["template"]["spec"]["volumes"]}
        assert volumes["tls"]["secret"]["secretName"] == redis["secretName"]


def test_the_laptop_gateway_is_the_one_that_the_local_routes_name(rendered: Rendered) -> None:
    documents = list(yaml.safe_load_all(GATEWAY.read_text(encoding="utf-8")))
    assert [problem for document in documents for problem in schemas.problems(document)] == []
    (gateway,) = of_kind(documents, "Gateway")
    for route in of_kind(rendered("local/standard"), "HTTPRoute", "GRPCRoute"):
        (parent,) = route["spec"]["parentRefs"]
        assert parent == {"name": gateway["metadata"]["name"], "namespace": gateway["metadata"]["namespace"]}


def test_both_gateways_listen_where_kind_maps_the_laptops_port() -> None:
    cluster = yaml.safe_load((MANIFESTS / "laptop" / "kind.yaml").read_text(encoding="utf-8"))
    mapped = cluster["nodes"][0]["extraPortMappings"][0]["containerPort"]
    (proxy,) = of_kind(list(yaml.safe_load_all(GATEWAY.read_text(encoding="utf-8"))), "EnvoyProxy")
    service = proxy["spec"]["provider"]["kubernetes"]["envoyService"]
    assert service["patch"]["value"]["spec"]["ports"][0]["nodePort"] == mapped
    assert f'"nodePort": {mapped}' in (MANIFESTS / "laptop" / "install.sh").read_text(encoding="utf-8")
