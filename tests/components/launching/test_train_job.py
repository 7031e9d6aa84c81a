"""A TrainJob is submitted once, waited for, and its failure has a reason."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from components.launching import folder as folders
from components.launching import train_job
from components.launching.folder import TrainingFailed
from tests.support.train_jobs import TrainJobs, condition, serving

Cluster = Callable[[TrainJobs], TrainJobs]
COMPLETE = condition("Complete", "JobsCompleted", "jobset completed successfully")
FAILED = condition("Failed", "FailedJobs", "jobset failed due to one or more job failures")


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    with ExitStack() as stack:

        def started(jobs: TrainJobs) -> TrainJobs:
            monkeypatch.setenv("KUBECONFIG", str(stack.enter_context(serving(jobs, tmp_path))))
            return jobs

        yield started


def run(folder: Path) -> None:
    train_job.run(folder, "train-17", nodes=3, processes=2, poll_seconds=0.01)


def test_a_job_is_submitted_waited_for_and_deleted(
    tmp_path: Path, cluster: Cluster, capsys: pytest.CaptureFixture[str]
) -> None:
    reads: list[dict[str, Any]] = []

    def operate(job: dict[str, Any]) -> None:
        reads.append(job)
        job["status"] = COMPLETE if len(reads) > 2 else condition("Suspended", "Resumed", "TrainJob is resumed")

    jobs = cluster(TrainJobs(operate))
    run(tmp_path)
    assert jobs.calls == ["POST train-17", *["GET train-17"] * 3, "DELETE train-17"]
    spec = reads[0]["spec"]
    assert (spec["trainer"]["numNodes"], spec["trainer"]["numProcPerNode"]) == (3, 2)
    assert spec["trainer"]["args"] == [str(tmp_path)]
    assert capsys.readouterr().out == "progress: 0.000 TrainJob train-17\n"


def test_a_failure_has_the_reasons_of_the_operator_and_of_the_process(tmp_path: Path, cluster: Cluster) -> None:
    def operate(job: dict[str, Any]) -> None:
        folders.failed(tmp_path, MemoryError("no room for the batch"))
        folders.failed(tmp_path, ConnectionError("the other process is gone"))
        job["status"] = FAILED

    cluster(TrainJobs(operate))
    with pytest.raises(TrainingFailed, match=r"train-17 failed \(FailedJobs: jobset.*\): MemoryError: no room"):
        run(tmp_path)


def test_a_job_that_still_runs_is_waited_for_by_a_step_that_is_tried_again(tmp_path: Path, cluster: Cluster) -> None:
    jobs = cluster(TrainJobs(lambda job: job.update(status=COMPLETE), {"train-17": {}}))
    run(tmp_path)
    assert jobs.calls == ["POST train-17", "GET train-17", "GET train-17", "DELETE train-17"]


def test_a_failed_job_is_replaced_by_a_step_that_is_tried_again(tmp_path: Path, cluster: Cluster) -> None:
    def operate(job: dict[str, Any]) -> None:
        job.setdefault("status", COMPLETE)

    jobs = cluster(TrainJobs(operate, {"train-17": {"status": FAILED}}))
    run(tmp_path)
    assert jobs.calls[:4] == ["POST train-17", "GET train-17", "DELETE train-17", "POST train-17"]


def test_a_job_that_someone_deletes_ends_the_step(tmp_path: Path, cluster: Cluster) -> None:
    jobs = TrainJobs()
    jobs.operate = lambda _: jobs.jobs.clear()
    cluster(jobs)
    with pytest.raises(TrainingFailed, match=r"train-17 failed \(it has been deleted\)"):
        run(tmp_path)


def test_the_refusal_of_the_api_server_is_shown(tmp_path: Path, cluster: Cluster) -> None:
    class Refusing(TrainJobs):
        def answer(self, method: str, path: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
            del method, path, body
            return 403, {"message": "trainjobs is forbidden"}

    cluster(Refusing())
    with pytest.raises(TrainingFailed, match=r"refused \(403\): .*trainjobs is forbidden"):
        run(tmp_path)
