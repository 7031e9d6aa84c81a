"""Trains as a TrainJob of Kubeflow Trainer: submits it from a step, waits for it, and says why it failed.

The job names the TrainingRuntime `review-sentiment`, which holds what does not change from job to job: image, secrets,
volume and resources. See manifests/examples/train-job.yaml.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any, Final

from components.launching import folder as folders
from components.launching.folder import TrainingFailed

GROUP: Final = "trainer.kubeflow.org"
VERSION: Final = "v1alpha1"
PLURAL: Final = "trainjobs"
RUNTIME: Final = "review-sentiment"
DEADLINE_SECONDS: Final = 14_400
"""The timeout of the step `train` in pipelines/step_settings.toml: a job whose step has ended ends as well."""
POLL_SECONDS: Final = 10.0
_NAMESPACE: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
_CONFLICT: Final = 409
_GONE: Final = 404


def manifest(name: str, folder: str, nodes: int, processes: int) -> dict[str, Any]:
    """Return the TrainJob that trains what `folder` orders.

    The operator sets PET_NNODES and the like, from which torchrun takes the number of machines and processes.
    """
    return {
        "apiVersion": f"{GROUP}/{VERSION}",
        "kind": "TrainJob",
        "metadata": {"name": name},
        "spec": {
            "activeDeadlineSeconds": DEADLINE_SECONDS,
            "runtimeRef": {"apiGroup": GROUP, "kind": "TrainingRuntime", "name": RUNTIME},
            "trainer": {
                "numNodes": nodes,
                "numProcPerNode": processes,
                "command": ["torchrun", "-m", "components.launching.worker"],
                "args": [folder],
            },
        },
    }


def run(folder: Path, name: str, nodes: int, processes: int, poll_seconds: float = POLL_SECONDS) -> None:
    """Submit the job and wait until it is complete, with lines of progress for the live display.

    A job of this name that is still there is waited for, unless it has failed. Raises TrainingFailed with the reasons
    of the operator and of the process that failed.
    """
    jobs = _Jobs()
    jobs.submit(manifest(name, str(folder), nodes, processes), poll_seconds)
    shown = -1.0
    while not (state := jobs.state(name))[0]:
        if (done := folders.progress(folder)) != shown:
            shown = done
            print(f"progress: {done:.3f} TrainJob {name}", flush=True)  # noqa: T201
        time.sleep(poll_seconds)
    kind, reason = state
    if kind == "Failed":
        raise TrainingFailed(f"TrainJob {name} failed ({reason}): {folders.error_of(folder)}")
    jobs.delete(name)


class _Jobs:
    """The TrainJobs of this pod's namespace, or of the one that the kubeconfig names."""

    def __init__(self) -> None:
        from kubernetes import client, config

        if _NAMESPACE.is_file():
            config.load_incluster_config()
            namespace = _NAMESPACE.read_text(encoding="utf-8").strip()
        else:
            file = os.environ.get("KUBECONFIG")
            config.load_kube_config(file)
            namespace = config.list_kube_config_contexts(file)[1]["context"].get("namespace", "default")
        self._api = client.CustomObjectsApi()
        self._place = (GROUP, VERSION, namespace, PLURAL)

    def submit(self, job: dict[str, Any], poll_seconds: float) -> None:
        """Create a job. One of the same name that has failed is deleted before."""
        from kubernetes.client.exceptions import ApiException

        name = job["metadata"]["name"]
        while True:
            try:
                self._api.create_namespaced_custom_object(*self._place, job)
                return
            except ApiException as error:
                if error.status != _CONFLICT:
                    raise TrainingFailed(f"TrainJob {name} was refused ({error.status}): {error.body}") from error
            if self.state(name)[0] != "Failed":
                return
            self.delete(name)
            time.sleep(poll_seconds)

    def state(self, name: str) -> tuple[str, str]:
        """Return `Complete` or `Failed` with the operator's reason, or two empty texts for a job that still runs."""
        from kubernetes.client.exceptions import ApiException

        try:
            found: dict[str, Any] = self._api.get_namespaced_custom_object(*self._place, name)
        except ApiException as error:
            if error.status == _GONE:
                return "Failed", "it has been deleted"
            raise
        for condition in found.get("status", {}).get("conditions", []):
            if condition["type"] in ("Complete", "Failed") and condition["status"] == "True":
                return condition["type"], f"{condition['reason']}: {condition['message']}"
        return "", ""

    def delete(self, name: str) -> None:
        """Delete a job and its pods; one that is gone is no error."""
        from kubernetes.client.exceptions import ApiException

        try:
            self._api.delete_namespaced_custom_object(*self._place, name, propagation_policy="Foreground")
        except ApiException as error:
            if error.status != _GONE:
                raise
