"""Detectors and power meters, one file an instrument."""
