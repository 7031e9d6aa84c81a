"""Scoring of whole files with the serving engine."""
