"""Metrics, the baseline and the behavioural test cases."""
