"""The live display of a local run: one line a step, and a log file for everything else."""
