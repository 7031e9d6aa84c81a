"""The platform's Jobs on a real PostgreSQL: MLflow's two schemas in one database, its backup, and the restore."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
import yaml

from .stack import postgres, postgres_programs

ROOT = Path(__file__).parents[2]
PLATFORM = ROOT / "manifests" / "base" / "platform"
README = ROOT / "manifests" / "README.md"


def containers(file: str, name: str) -> list[dict[str, Any]]:
    """Return the init containers and containers of a Job or a CronJob."""
    documents = yaml.safe_load_all((PLATFORM / file).read_text(encoding="utf-8"))
    (spec,) = [one["spec"] for one in documents if one["metadata"]["name"] == name]
    pod = spec.get("jobTemplate", {"spec": spec})["spec"]["template"]["spec"]
    return [*pod["initContainers"], *pod["containers"]]


def run(box: dict[str, Any], replaced: dict[str, str]) -> None:
    """Run a container's command line here, with its $(VARIABLES) and paths replaced."""
    words = [*box["command"], *box["args"]]
    for before, after in replaced.items():
        words = [word.replace(before, after) for word in words]
    environment = os.environ | {"PATH": f"{postgres_programs()}:{os.environ['PATH']}"}
    words[0] = sys.executable if words[0] == "python" else words[0]
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def database() -> Iterator[str]:
    """A database to which the Job mlflow-database has been applied twice, as with every deployment."""
    with postgres() as url:
        for _ in range(2):
            for box in containers("mlflow-database.yaml", "mlflow-database"):
                run(box, {"$(MLFLOW_BACKEND_STORE_URI)": url})
        yield url


def test_the_registry_and_its_accounts_share_one_database(database: str) -> None:
    with psycopg.connect(database) as connection:
        rows = connection.execute("select tablename from pg_tables where schemaname = 'public'").fetchall()
    assert {"registered_models", "registered_model_aliases", "users"} <= {name for (name,) in rows}


def test_a_backup_restores_the_champion(database: str, tmp_path: Path) -> None:
    champion = "select version from registered_model_aliases where name = 'reviews' and alias = 'champion'"
    with psycopg.connect(database) as connection:
        connection.execute("insert into registered_models (name, creation_time) values ('reviews', 1)")
        connection.execute(
            "insert into registered_model_aliases (name, alias, version) values ('reviews', 'champion', 7)"
        )
    dump = containers("backups.yaml", "postgres-backup")[0]
    run(dump, {"$(BACKUP_URI)": database, "/backup": str(tmp_path)})
    with psycopg.connect(database) as connection:
        connection.execute("update registered_model_aliases set version = 8 where name = 'reviews'")
    (line,) = [one for one in README.read_text(encoding="utf-8").splitlines() if one.startswith("pg_restore ")]
    *command, file = shlex.split(line)
    assert file.endswith(".database.dump")
    run(
        {"command": command, "args": [str(tmp_path / "database.dump")]},
        {"$BACKEND_STORE_URI": database},
    )
    with psycopg.connect(database) as connection:
        assert connection.execute(champion).fetchone() == (7,)
