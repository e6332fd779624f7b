"""A memory link that is asked for three times what it can make; `python -m benchmarks overload`
does the same for longer."""

from pathlib import Path

from benchmarks.overload_scene import run_one


def test_under_overload_whoever_is_admitted_is_met_in_time(tmp_path: Path) -> None:
    found = run_one(4, tmp_path, times=3.0, seconds=15.0)
    tallies = found.tallies.values()
    assert sum(each.admitted for each in tallies) > 150
    assert found.met >= 0.99
    assert found.served_hz > 0.7 * found.capacity_hz  # not by refusing everybody
    assert sum(each.refused.total() for each in tallies) > 300
    assert not any(each.unexplained or each.failed for each in tallies)
