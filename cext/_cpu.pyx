"""What the processor can do, as asked by dispatch.h."""

from cext._paths cimport qn_best_path


def best_path():
    """Number of the widest path: 0 portable, 1 AVX2, 2 AVX-512."""
    return qn_best_path()
