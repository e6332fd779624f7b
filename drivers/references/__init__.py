"""Clocks that others follow, one file an instrument."""
