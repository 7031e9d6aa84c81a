"""Thresholds measured on windows without drift, and the measurements."""
