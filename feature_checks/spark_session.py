"""The Spark session of this process: the one that runs already, that of spark-submit, or one on this machine."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
from typing import Any


class SparkMissing(RuntimeError):
    """Spark or Java is not installed; the message says how to get it."""


def spark_session(name: str, cores: int | None = None) -> Any:
    """Return a `pyspark.sql.SparkSession`. Without a configured master it is one of `cores` cores on this machine.

    `cores`: by default those that the process may use. Raises SparkMissing if pyspark or Java is not installed.

    Example: `spark_session("review-sentiment score").range(3).count()` is 3.
    """
    if importlib.util.find_spec("pyspark") is None:
        raise SparkMissing("pyspark is not installed; expected the extra spark: pip install 'review-sentiment[spark]'")
    if not (shutil.which("java") or os.environ.get("JAVA_HOME")):
        raise SparkMissing("java is neither on PATH nor in JAVA_HOME; expected Java 17 (openjdk-17-jre-headless)")
    from pyspark import SparkConf
    from pyspark.sql import SparkSession

    builder = SparkSession.builder.appName(name)
    if not SparkConf().contains("spark.master"):
        os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
        builder = builder.master(f"local[{cores or len(os.sched_getaffinity(0))}]")
        # Nothing listens beyond this machine, and a short run needs no optimising compiler.
        local = {
            "spark.ui.enabled": "false",
            "spark.driver.host": "127.0.0.1",
            "spark.driver.bindAddress": "127.0.0.1",
            "spark.driver.extraJavaOptions": "-XX:+UseSerialGC -XX:TieredStopAtLevel=1",
        }
        for option, value in local.items():
            builder = builder.config(option, value)
    return builder.getOrCreate()
