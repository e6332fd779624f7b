"""Presets: every file loads, is marked, and reproduces what it says within its tolerance."""

from pathlib import Path

import pytest

from sim_backends.lab_file import LabError
from sim_backends.preset_files import Preset, load_preset, preset_names
from sim_backends.preset_run import main, run_preset

NAMES = preset_names()


def test_all_of_the_published_set_ship() -> None:
    assert set(NAMES) == {
        "avis_ion",
        "avis_nv",
        "ca_230m_krutyanskiy2023",
        "ca_repeater_krutyanskiy2023b",
        "ens_22km_yu2020",
        "ens_hefei_liu2024",
        "epb_chattanooga",
        "ieqnet",
        "nv_2m_humphreys2018",
        "nv_3node_pompili2021",
        "nv_delft_hague_stolk2024",
        "nv_linklayer_pompili2022",
        "nv_teleport_hermans2022",
        "prYSO_50m_lago2021",
        "rb_33km_vanleent2022",
        "siv_boston_knaut2024",
        "siv_lab_knaut2024",
        "spdc_192km_wengerowsky2020",
        "spdc_248km_neumann2022",
        "spdc_berlin_2025",
        "sr_2m_stephenson2020",
    }


@pytest.mark.parametrize("name", NAMES)
def test_it_reproduces_what_was_published(name: str) -> None:
    preset = load_preset(name)
    rows = run_preset(name, seed=20)
    assert bool(rows) == (preset.kind != "data")
    for row in rows:
        assert row.holds is not False, row
        # A statement within a tolerance needs statistics that are finer than it.
        if row.published is not None and row.quantity in ("fidelity", "qber"):
            assert row.error < row.published.tolerance / 2, row


@pytest.mark.parametrize("name", NAMES)
def test_a_published_rate_and_fidelity_are_both_compared(name: str) -> None:
    preset = load_preset(name)
    if preset.kind == "data":
        # Nothing to simulate from: not both were published.
        assert all(point.rate_hz is None or point.fidelity is None for point in preset.points)
        return
    compared = {(row.point, row.quantity) for row in run_preset(name) if row.published is not None}
    for point in preset.points:
        for quantity in ("rate_hz", "fidelity", "qber", "peak_fwhm_ps"):
            if getattr(point, quantity) is not None:
                assert (point.name, quantity) in compared


def test_only_explicit_terms_are_fitted() -> None:
    preset = load_preset("sr_2m_stephenson2020")
    tables = preset.model_dump()
    tables["parameters"]["visibility"] = {"value": 0.9, "mark": "fit", "source": "tuned"}
    with pytest.raises(ValueError, match="'fit' for duty and residual_depolarising"):
        Preset.model_validate(tables)


def test_physics_without_the_fitted_terms_is_what_the_notes_say() -> None:
    """Humphreys: 7.4 Hz and 0.873, 43.7 Hz and 0.657 without duty and residual."""
    from sim_backends.preset_run import fast_link

    preset = load_preset("nv_2m_humphreys2018")
    bare = {"duty": None, "residual_depolarising": None}
    plain = preset.model_copy(update={"parameters": preset.parameters.model_copy(update=bare)})
    for point, rate_hz, fidelity in zip(plain.points, (7.4, 43.7), (0.873, 0.657), strict=True):
        link = fast_link(plain, point)
        assert link.odds.total / link.period_s == pytest.approx(rate_hz, rel=0.01)
        assert link.odds.fidelity == pytest.approx(fidelity, abs=0.002)


def test_what_agreement_is_worth_is_told() -> None:
    origins = {(row.preset, row.quantity): row.origin for n in NAMES for row in run_preset(n)}
    assert origins["sr_2m_stephenson2020", "rate_hz"] == "physics"
    assert origins["sr_2m_stephenson2020", "fidelity"] == "fitted"
    assert origins["rb_33km_vanleent2022", "rate_hz"] == "fitted"
    assert origins["ens_22km_yu2020", "rate_hz"] == "put in"
    assert origins["siv_lab_knaut2024", "fidelity"] == "put in"
    assert origins["spdc_192km_wengerowsky2020", "peak_fwhm_ps"] == "physics"


def test_same_seed_same_result() -> None:
    first, again = (run_preset("avis_ion", seed=7) for _ in range(2))
    assert first == again
    assert run_preset("avis_ion", seed=8) != first


def test_an_unknown_preset_is_refused_with_the_names() -> None:
    with pytest.raises(LabError, match="expected one of avis_ion"):
        load_preset("sr_3m")


def test_the_command_prints_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sr_2m_stephenson2020"]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert printed[0].startswith("| preset | point | quantity | published | simulated")
    assert len(printed) == 4


def test_the_documented_table_names_every_comparison() -> None:
    text = (Path(__file__).parents[2] / "docs" / "physics.md").read_text()
    for name in NAMES:
        if load_preset(name).kind != "data":
            assert f"| `{name}` |" in text
