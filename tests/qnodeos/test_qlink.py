"""Objects of qlink-interface, from the real package."""

import sys
from dataclasses import dataclass

import pytest
import qlink_interface as q

from link_layer.messages import ErrorCode, Measuring
from link_layer.states import BellState
from qnodeos import qlink
from qnodeos.errors import UserError


@dataclass
class Told:
    sequence: int = 9
    fidelity: float = 0.9
    bell_state: BellState = BellState.PSI_MINUS


def test_a_request_to_keep_is_what_the_desk_is_asked() -> None:
    request = q.ReqCreateAndKeep(
        minimum_fidelity=0.8, time_unit=1, max_time=1500, number=3, priority=2, atomic=True
    )
    wishes = qlink.wishes_of(request)
    assert wishes["kind"] == "K"
    assert (wishes["number"], wishes["within_s"], wishes["priority"]) == (3, 1.5, 2)
    assert wishes["atomic"] is True
    assert wishes["near"] is wishes["far"] is None
    assert wishes["corrected"] is False


def test_bases_and_probabilities_are_taken_over() -> None:
    request = q.ReqMeasureDirectly(
        random_basis_local=q.RandomBasis.XYZ,
        probability_distribution_parameter_local_1=0.5,
        probability_distribution_parameter_local_2=0.25,
        random_basis_remote=q.RandomBasis.NONE,
        y_rotation_angle_remote=0.7,
    )
    wishes = qlink.wishes_of(request)
    assert wishes["near"] == Measuring(("X", "Y", "Z"), (0.5, 0.25, 0.25))
    assert wishes["far"] == Measuring(turned_rad=(0.0, 0.7, 0.0))
    prepare = q.ReqRemoteStatePrep(
        random_basis_local=q.RandomBasis.CHSH, probability_distribution_parameter_local_1=0.5
    )
    assert qlink.wishes_of(prepare)["near"] == Measuring(("Z+45", "Z-45"), (0.5, 0.5))
    with pytest.raises(TypeError, match="ReqReceive is no request for pairs"):
        qlink.wishes_of(q.ReqReceive())


def test_results_have_the_numbers_of_the_package() -> None:
    common = {"create_id": 5, "purpose_id": 80, "remote_node_id": 7, "theirs": True}
    kept = qlink.result_of(Told(), kind="K", qubit=3, **common)
    assert isinstance(kept, q.ResCreateAndKeep)
    assert kept.bell_state is q.BellState.PSI_MINUS
    assert (kept.logical_qubit_id, kept.goodness, kept.sequence_number) == (3, 0.9, 9)
    measured = qlink.result_of(Told(), kind="M", basis="Z-45", outcome=1, **common)
    assert isinstance(measured, q.ResMeasureDirectly)
    assert measured.measurement_basis is q.MeasurementBasis.ZMINUSX
    assert measured.measurement_outcome is True
    assert qlink.basis_of(measured.measurement_basis) == "Z-45"
    assert isinstance(qlink.result_of(Told(), kind="R", **common), q.ResRemoteStatePrep)
    error = qlink.error_of(ErrorCode.NO_TIME, create_id=5, origin_node_id=7)
    assert error.error_code is q.ErrorCode.NOTIME


def test_without_the_package_it_is_said_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "qlink_interface", None)
    with pytest.raises(UserError, match="not installed"):
        qlink.qlink()
