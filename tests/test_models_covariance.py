"""Covariances of Gaussian processes: their likelihood and their linear systems."""

import numpy as np
import pytest

from pyhpc.models.covariance import _solve_in_single, correlate, correlations, most_likely, solve

LENGTH = 2.0


def _points(n: int = 300, seed: int = 0):
    rng = np.random.default_rng(seed)
    points = rng.normal(size=(n, 4))
    return points, np.sin(points[:, 0]) + 0.1 * rng.normal(size=n)


def _naive(points):
    x = 5**0.5 * np.linalg.norm(points[:, None] - points, axis=2) / LENGTH
    return (1 + x + x**2 / 3) * np.exp(-x)


def test_correlations_are_the_formula():
    points, targets = _points()
    np.testing.assert_allclose(correlations(points, points, LENGTH), _naive(points), atol=1e-12)
    np.testing.assert_allclose(
        correlate(points, points, LENGTH, targets), _naive(points) @ targets, atol=1e-10
    )


@pytest.mark.parametrize("noise", [1e-2, 1e-5, 1e-12])
def test_systems_are_solved_in_double_precision(noise):
    """With the factor in single precision where that is enough, without where it is not."""
    points, targets = _points()
    matrix = _naive(points) + noise * np.eye(len(points))
    expected = np.linalg.solve(matrix, targets)
    found = solve(points, targets, LENGTH, noise)
    # Either way the weights carry the rounding of the matrix, as far as its condition allows.
    tolerance = 1e-14 * np.linalg.cond(matrix) * np.abs(expected).max()
    np.testing.assert_allclose(found, expected, rtol=0, atol=max(tolerance, 1e-9))
    np.testing.assert_allclose(matrix @ found, targets, atol=1e-8)


def test_systems_beyond_single_precision_are_solved_in_double():
    points, targets = _points()
    doubled, twice = np.concatenate([points, points]), np.tile(targets, 2)
    matrix = _naive(doubled) + 1e-9 * np.eye(len(doubled))
    single = np.asfortranarray(matrix, dtype=np.float32)
    assert _solve_in_single(np.asfortranarray(matrix), single, twice) is None
    np.testing.assert_allclose(matrix @ solve(doubled, twice, LENGTH, 1e-9), twice, atol=1e-6)


def test_most_likely_parameters_are_those_of_scikit_learn():
    """Of their likelihood no other point near ours is higher, and their search ends there too."""
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel

    points, targets = _points()
    kernel = ConstantKernel(1.0, (1e-3, 1e4)) * Matern(
        LENGTH, (1e-2 * LENGTH, 1e3 * LENGTH), nu=2.5
    ) + WhiteKernel(0.1, (1e-6, 1e1))
    theirs = GaussianProcessRegressor(kernel).fit(points, targets)
    found = np.log(most_likely(points, targets, LENGTH))
    np.testing.assert_allclose(found, theirs.kernel_.theta, atol=2e-3)
    highest = theirs.log_marginal_likelihood(found)
    assert highest == pytest.approx(theirs.log_marginal_likelihood_value_, abs=1e-4)
    for k in range(3):
        for step in (-0.05, 0.05):
            assert theirs.log_marginal_likelihood(found + step * np.eye(3)[k]) < highest
