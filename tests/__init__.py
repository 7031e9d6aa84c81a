"""Tests of every package; the folders mirror the packages."""
