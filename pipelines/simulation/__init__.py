"""A simulated year: traffic under a scenario, through the real monitoring, gate and registry."""
