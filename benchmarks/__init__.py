"""Measurements of qnodeos beside its peers; run `python -m benchmarks`. Never part of the tests.

To add one, put a file into this folder with a function that returns its rows:

    @benchmark("name", "one line on what it measures")
    def name() -> list[Row]:
        peer = need("some_peer")
        return [Row("speed-up over some_peer", ratio, "x", at_least=1.0)]
"""

from benchmarks.frame import Benchmark, CannotRunError, Row, benchmark, best_of, need

__all__ = ["Benchmark", "CannotRunError", "Row", "benchmark", "best_of", "need"]
