import numpy as np
import pytest

from timing.shapes import JitterEstimate, PeakShape, ShapeTable, fit_peak, fit_shape

SHAPES = [PeakShape(300.0), PeakShape(200.0, 200.0), PeakShape(150.0, -300.0)]


def drawn(rng: np.random.Generator, shape: PeakShape, count: int) -> np.ndarray:
    tail = shape.tail_ps * (rng.exponential(1.0, count) - 1.0)
    return rng.normal(0.0, shape.sigma_ps, count) + tail


def histogram(values: np.ndarray, jitter: JitterEstimate) -> tuple[np.ndarray, np.ndarray]:
    edges = jitter.low_ps - 0.5 + np.arange(jitter.bins + 1) * jitter.bin_ps
    counts, _ = np.histogram(values, edges)
    return (edges[1:] + edges[:-1]) / 2, counts.astype(np.float64)


@pytest.mark.parametrize("shape", SHAPES)
def test_the_table_is_a_density_of_mean_zero(shape: PeakShape) -> None:
    x = np.arange(-4000.0, 4000.0)
    density, slope = ShapeTable(shape).at(x)
    assert density.sum() == pytest.approx(1, abs=1e-6)
    assert density @ x == pytest.approx(0, abs=0.05)
    assert np.sqrt(density @ x**2) == pytest.approx(shape.rms_ps, rel=1e-3)
    assert np.allclose(np.cumsum(slope), density, atol=0.01 * density.max())
    if shape.tail_ps == 0:
        exact = np.exp(-0.5 * (x / 300) ** 2) / 300 / np.sqrt(2 * np.pi)
        assert np.allclose(density, exact, atol=1e-6)


@pytest.mark.parametrize("shape", SHAPES)
def test_the_likelier_shape_is_chosen_and_found(shape: PeakShape) -> None:
    rng = np.random.default_rng(2)
    jitter = JitterEstimate(1.2 * shape.rms_ps)
    for _ in range(10):
        light = np.concatenate((drawn(rng, shape, 1200), rng.uniform(-2500, 2500, 150)))
        centres, counts = histogram(light, jitter)
        jitter.add(counts, 0.0, centres)
    found = jitter.shape
    assert found.name == shape.name
    assert found.rms_ps == pytest.approx(shape.rms_ps, rel=0.05)
    assert found.tail_ps == pytest.approx(shape.tail_ps, rel=0.1)


@pytest.mark.parametrize("shape", SHAPES)
def test_the_offset_is_unbiased_and_its_error_as_stated(shape: PeakShape) -> None:
    rng = np.random.default_rng(3)
    table, jitter = ShapeTable(shape), JitterEstimate(shape.rms_ps)
    errors, stated = [], []
    for _ in range(400):
        light = np.concatenate((drawn(rng, shape, 60), rng.uniform(-2000, 2000, 20)))
        centres, counts = histogram(light + 111.0, jitter)
        fit = fit_peak(centres, counts, table, 0.0)
        assert fit is not None
        errors.append(fit.position_ps - 111.0)
        stated.append(fit.variance)
    error, variance = np.array(errors), np.array(stated)
    assert abs(error.mean()) < 4 * error.std() / 20
    assert np.mean(error**2 / variance) == pytest.approx(1, abs=0.25)


def test_a_tailed_shape_does_better_than_the_mean() -> None:
    """What a Gaussian cannot use: the sharp flank."""
    shape = PeakShape(100.0, 400.0)
    assert 1 / ShapeTable(shape).information < 0.3 * shape.rms_ps**2
    gaussian = ShapeTable(PeakShape(300.0))
    assert 1 / gaussian.information == pytest.approx(300.0**2, rel=1e-3)


def test_pairs_all_in_one_place_are_fitted() -> None:
    """Taggers of a coarse tick: every difference is a whole tick."""
    table, jitter = ShapeTable(PeakShape(800.0)), JitterEstimate(800.0)
    centres, counts = histogram(np.full(300, 40.0), jitter)
    fit = fit_peak(centres, counts, table, 300.0)
    assert fit is not None
    assert fit.position_ps == pytest.approx(40, abs=60)
    assert fit.variance == pytest.approx(800**2 / 300, rel=0.1)


def test_nothing_is_no_peak() -> None:
    table, jitter = ShapeTable(PeakShape(300.0)), JitterEstimate(300.0)
    centres, counts = histogram(np.array([10.0]), jitter)
    assert fit_peak(centres, counts, table, 0.0) is None
    flat = np.ones(jitter.bins)
    fit = fit_shape(centres, flat, 300.0, 0.0)
    assert fit is None or fit.shape.rms_ps > 600 or fit.log_likelihood < -len(flat)
