"""Texts to probabilities: queue, batches, worker threads and the engine."""
