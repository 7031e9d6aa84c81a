"""Compile the pipelines and run them without the live display.

python -m pipelines.run compile
python -m pipelines.run local --param seed=1 --param epochs=2
python -m pipelines.run local monitoring --param log=LOG --param history=DIR --param labelled=new.parquet
python -m pipelines.run local --param source=s3://bucket/reviews.parquet --param promotion=manual
python -m pipelines.run submit --host https://kubeflow.example/pipeline --param source=s3://bucket/reviews.parquet
python -m pipelines.run schedule --host https://kubeflow.example/pipeline --cron "0 0 6 * * *" --param log=s3://…
"""

from __future__ import annotations

import json
import logging
from pathlib import Path

import typer

from pipelines.cli.kubeflow import FOLDER, PARAM, PIPELINE, compile_command, schedule_command, submit_command
from pipelines.compiling import Name
from pipelines.local import PipelineFailed, run_local
from pipelines.parameters import ParameterError, parse_parameters

app = typer.Typer(add_completion=False, help=__doc__, no_args_is_help=True, rich_markup_mode=None)
app.command("compile")(compile_command)
app.command("submit")(submit_command)
app.command("schedule")(schedule_command)


@app.command("local")
def local_command(
    name: Name = PIPELINE,
    param: list[str] = PARAM,
    compiled: Path = FOLDER,
    output: Path | None = typer.Option(
        None, help="Folder of the outputs; by default STATE_DIR/pipelines/PIPELINE-TIME.", show_default=False
    ),
) -> None:
    """Run the compiled pipeline on this machine with kfp.local, and print everything that its steps print.

    The last line is a JSON object with the folder of the outputs and the steps that ran. `review-sentiment train` and
    `review-sentiment monitor` run the same with a live display.

    Example: python -m pipelines.run local --param seed=1
    """
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        run = run_local(compiled / f"{name}.yaml", parse_parameters(param), output)
    except ParameterError as error:
        raise typer.BadParameter(str(error)) from error
    except PipelineFailed as failure:
        typer.echo(str(failure), err=True)
        raise typer.Exit(1) from failure
    typer.echo(f"pipeline finished: {', '.join(run.tasks)}", err=True)
    typer.echo(json.dumps({"folder": str(run.folder), "tasks": list(run.tasks)}))


if __name__ == "__main__":
    app()
