"""Kernels on plain arrays: no I/O and no state beyond what the caller passes."""
