"""Detectors, the comparison of two windows and the Evidently report."""
