"""Two applications at one device are served side by side: the benchmark, shorter."""

import pytest

from benchmarks.multitasking import compared


@pytest.mark.parametrize("scheduled", [False, True])
def test_together_they_use_the_device_more_and_lose_nothing(scheduled: bool) -> None:
    rows = compared("test", scheduled, rounds=100)
    targets = [row for row in rows if row.target is not None]
    assert len(targets) == 5
    assert [row for row in targets if not row.holds] == []
