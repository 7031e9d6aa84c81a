"""Starts the training on several processes: with torchrun in the step itself, or as a TrainJob of Kubeflow Trainer."""
