"""Reads a prediction log of any size: its segments, its records, and the engines that choose the rows of a window."""
