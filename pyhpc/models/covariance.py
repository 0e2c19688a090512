"""Matern-5/2 covariances: their likelihood, and linear systems of them.

Rasmussen & Williams 2006, ISBN 0-262-18253-X: the covariance is equation 4.17, the likelihood 2.30,
its gradient 5.9.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pyhpc.models.optional import need

if TYPE_CHECKING:
    from numpy.typing import NDArray

_SQRT5 = 5.0**0.5
_BLOCK = 128
"""Rows of a covariance that are made at once: with 10^4 columns they stay in the cache."""
_BOUNDS = {"amplitude": (1e-3, 1e4), "length": (1e-2, 1e3), "noise": (1e-6, 1e1)}
"""Of what maximises a likelihood: variances of standardised targets, the length relative to the
first guess."""
_CORRECTIONS = 10
"""Of a solution in single precision; a well-posed system needs three or four."""
_SOLVED = 1e-10
"""Residual, relative to the right side, of a system that counts as solved."""


def correlations(
    rows: NDArray[np.float64], points: NDArray[np.float64], length: float
) -> NDArray[np.float64]:
    """Correlations of rows with points, shape (n_rows, n_points)."""
    x = np.sqrt(_squared_distances(rows, points))
    x *= _SQRT5 / length
    result: NDArray[np.float64] = (1 + x + x**2 / 3) * np.exp(-x)
    return result


def correlate(
    rows: NDArray[np.float64],
    points: NDArray[np.float64],
    length: float,
    weights: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Sum over points of a weight times the correlation with it, shape (n_rows,)."""
    result = np.empty(len(rows))
    for start in range(0, len(rows), _BLOCK):
        block = correlations(rows[start : start + _BLOCK], points, length)
        result[start : start + _BLOCK] = (block * weights).sum(axis=1)
    return result


def most_likely(
    points: NDArray[np.float64], targets: NDArray[np.float64], length: float
) -> tuple[float, float, float]:
    """Amplitude, length and variance of the noise that make standardised targets most likely.

    Parameters
    ----------
    points : array, shape (n_points, n_features)
    targets : array, shape (n_points,)
    length : float
        First guess.
    """
    distances = np.sqrt(_squared_distances(points, points))
    # Rounding leaves points a little apart from themselves.
    np.fill_diagonal(distances, 0.0)
    lapack = need("scipy.linalg.lapack")

    def cost(logarithms: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        """Give the negative logarithm of the likelihood and its gradient."""
        amplitude, length, noise = np.exp(logarithms)
        x = distances * (_SQRT5 / length)
        decayed = np.exp(-x) * amplitude
        covariance = (1 + x + x**2 / 3) * decayed
        np.fill_diagonal(covariance, amplitude + noise)
        factor, failed = lapack.dpotrf(covariance.T, lower=True, overwrite_a=True)
        if failed:
            return np.inf, np.zeros(3)
        weights, _ = lapack.dpotrs(factor, targets, lower=True)
        logarithm = float(np.log(np.diag(factor)).sum())
        value = 0.5 * float(targets @ weights) + logarithm + 0.5 * len(x) * np.log(2 * np.pi)
        # Its lower half; what it is multiplied with is symmetric, and 0 on the diagonal.
        inverse, _ = lapack.dpotri(factor, lower=True, overwrite_c=True)
        by_length = (x**2 / 3) * (1 + x) * decayed
        trace = float(np.trace(inverse))
        fit = float(weights @ weights)
        gradient = [
            # K without its noise, amplitude C, is K - noise.
            (len(x) - noise * trace) - (float(targets @ weights) - noise * fit),
            2 * float(np.vdot(np.tril(inverse, -1).T, by_length))
            - float(weights @ by_length @ weights),
            noise * (trace - fit),
        ]
        return value, 0.5 * np.array(gradient)

    scales = {"amplitude": 1.0, "length": length, "noise": 1.0}
    bounds = [tuple(np.log(np.multiply(_BOUNDS[name], scales[name]))) for name in scales]
    found = need("scipy.optimize").minimize(
        cost, np.log([1.0, length, 0.1]), method="L-BFGS-B", jac=True, bounds=bounds
    )
    amplitude, length, noise = np.exp(found.x)
    return float(amplitude), float(length), float(noise)


def solve(
    points: NDArray[np.float64], targets: NDArray[np.float64], length: float, noise: float
) -> NDArray[np.float64]:
    """Weights of points whose correlations give targets, within noise, shape (n_points,).

    Takes 12 bytes of memory times the square of the points.

    Parameters
    ----------
    points : array, shape (n_points, n_features)
    targets : array, shape (n_points,)
    length : float
    noise : float
        Variance of the noise relative to the amplitude.
    """
    n_points = len(points)
    matrix = np.empty((n_points, n_points))
    single = np.empty((n_points, n_points), dtype=np.float32)
    for start in range(0, n_points, _BLOCK):
        stop = min(start + _BLOCK, n_points)
        block = correlations(points[start:stop], points[:stop], length)
        block[np.arange(stop - start), np.arange(start, stop)] += noise
        matrix[start:stop, :stop] = single[start:stop, :stop] = block
    # Lower halves by rows are upper ones by columns, which LAPACK takes without a copy. Of the
    # other halves not even the memory is touched.
    matrix, single = matrix.T, single.T
    weights = _solve_in_single(matrix, single, targets)
    if weights is not None:
        return weights
    linalg = need("scipy.linalg")
    factor = linalg.cho_factor(matrix, lower=False, overwrite_a=True, check_finite=False)
    solved: NDArray[np.float64] = linalg.cho_solve(factor, targets, check_finite=False)
    return solved


def _solve_in_single(
    matrix: NDArray[np.float64], single: NDArray[np.float32], targets: NDArray[np.float64]
) -> NDArray[np.float64] | None:
    """Solve with a factor in single precision, corrected by residuals in double: half the time.

    Buttari et al. 2008, doi 10.1145/1377596.1377597. Takes upper halves, and makes the factor in
    place of the matrix in single precision. None if the system is too ill-posed for that.
    """
    lapack, product = need("scipy.linalg.lapack"), need("scipy.linalg.blas").dsymv
    factor, failed = lapack.spotrf(single, overwrite_a=True, clean=False)
    if failed:
        return None
    weights, residual = np.zeros(len(targets)), targets
    for _ in range(_CORRECTIONS):
        correction, _ = lapack.spotrs(factor, residual.astype(np.float32))
        weights += correction
        residual = targets - product(1.0, matrix, weights)
        if np.abs(residual).max() <= _SOLVED * np.abs(targets).max():
            return weights
    return None


def _squared_distances(
    rows: NDArray[np.float64], points: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Squared distances, shape (n_rows, n_points)."""
    squares = (rows**2).sum(axis=1)[:, None] + (points**2).sum(axis=1)
    # As a product of matrices, which cancels to about 1e-8 of the extent for points that are near
    # each other; their correlation is 1 to second order of the distance.
    squares -= 2 * (rows @ points.T)
    result: NDArray[np.float64] = np.maximum(squares, 0.0, out=squares)
    return result
