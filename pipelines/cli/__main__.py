"""Run the command as `python -m pipelines.cli`."""

from pipelines.cli.main import app

if __name__ == "__main__":
    app(prog_name="review-sentiment")
