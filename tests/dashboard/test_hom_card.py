"""The interference of a link's photons on its page."""

from __future__ import annotations

from pathlib import Path

from link_layer.hom import HomSettings
from qnodeos.dashboard.hom_card import dip_card, hom_card, hom_columns
from qnodeos.dashboard.places import find_places
from qnodeos.dashboard.view import NetworkView

EXAMPLE = Path(__file__).parents[2] / "examples" / "two_nodes"

TOLD = {
    "link-memory/hom-coincidences": "812",
    "link-memory/hom-visibility": "0.9012",
    "link-memory/hom-visibility-error": "0.0123",
    "link-memory/hom-visibility-low": "0.875",
    "link-memory/hom-visibility-high": "0.924",
}


def told(values: dict[str, str]) -> dict[str, str]:
    """As the dashboard has it from the station of the example."""
    network = NetworkView.of(find_places([EXAMPLE]), lambda: 10.0, lambda: 1e9)
    link = next(each for key, each in network.places.links.items() if "memory" in key)
    assert network.station(link) == {}
    station = network.nodes["station"]
    for topic, text in values.items():
        station.socket.take(topic, text)
    station.socket.heard_s, station.reachable = 10.0, True
    return network.station(link)


def test_the_visibility_is_shown_with_its_error() -> None:
    shown = str(hom_card("memory", "station", told(TOLD)))
    for word in ("0.901", "0.012", "0.875 to 0.924", "812"):
        assert word in shown, word


def test_what_is_not_there_says_so() -> None:
    assert "Nothing is heard of station" in str(hom_card("memory", "station", {}))
    without = str(hom_card("memory", "station", told({"link-memory/attempting": "true"})))
    assert "[links.memory.hom] in the file of station" in without
    few = str(hom_card("memory", "station", told({"link-memory/hom-coincidences": "0"})))
    assert "Coincidences" in few


def test_time_bins_are_told_apart_by_the_delay() -> None:
    settings = HomSettings(((1,), (2,)), window_ps=100_000, apart_ps=400_000)
    counts = list(range(settings.bins))
    columns = hom_columns(
        {
            "low_ps": settings.low_ps,
            "bin_ps": settings.bin_ps,
            "window_ps": 100_000,
            "apart_ps": 400_000,
            "counts": counts,
            "different": None,
        }
    )
    starts, same, different = columns["set"]
    assert columns["marks"] == [-50.0, 50.0]
    assert 'data-plot="hom"' in str(dip_card())
    for start_ns, one, other, count in zip(starts, same, different, counts, strict=True):
        middle_ns = start_ns + settings.bin_ps / 2e3
        if abs(abs(middle_ns) - 200) > 0.1:  # the bin on the border may be either
            assert (one, other) == ((count, None) if abs(middle_ns) < 200 else (None, count))


def test_polarizations_have_histograms_of_their_own() -> None:
    told = {"low_ps": -1500, "bin_ps": 1000, "window_ps": 2000, "apart_ps": 0}
    columns = hom_columns(told | {"counts": [1, 2, 3], "different": [4, 5, 6]})
    assert columns["set"] == [[-1.5, -0.5, 0.5], [1, 2, 3], [4, 5, 6]]
