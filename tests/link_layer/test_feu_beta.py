"""The beta distribution of the fidelity unit, judged by SciPy."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import betaln
from scipy.stats import beta, norm

from link_layer.feu_beta import log_beta, quantiles

sizes = st.floats(0.05, 1e6)


@given(sizes, sizes)
def test_its_normalisation_is_that_of_scipy(a: float, b: float) -> None:
    found = log_beta(np.array([a]), np.array([b]))[0]
    assert found == pytest.approx(betaln(a, b), rel=1e-9, abs=1e-7)


@given(st.floats(0.34, 1e4), st.floats(1.5, 1e4))  # from the prior of the unit on
def test_its_quantiles_are_those_of_scipy(a: float, b: float) -> None:
    own = beta(a, b)
    shares = np.array([0.025, 0.25, 0.5, 0.75, 0.975])
    found = quantiles(
        np.array([[own.mean()]]), np.array([[own.var()]]), (0, 5), norm.ppf(shares)[None]
    )
    assert np.abs(found[0] - own.ppf(shares)).max() < 0.05 * own.std()
