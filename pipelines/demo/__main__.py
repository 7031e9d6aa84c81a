"""Run the demo: the same as `review-sentiment demo`.

python -m pipelines.demo
python -m pipelines.demo --param epochs=1 --retrain epochs=1     # quicker, with a worse model
"""

import typer

from pipelines.cli.loop import demo

if __name__ == "__main__":
    typer.run(demo)
