"""The Kubeflow graphs and the command line that compiles, runs and schedules them."""
