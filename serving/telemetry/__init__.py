"""Prometheus metrics, and the timings of each request."""
