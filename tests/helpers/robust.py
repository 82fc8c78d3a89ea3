"""Barron's robust loss in mpmath, and alphas and residuals for its tests."""

from __future__ import annotations

import mpmath
import numpy as np

ALPHAS = [
    *(-np.inf, -1e9, -1e4, -30.0, -2.0, -1.0, -1e-6, 0.0, 1e-6, 0.003, 0.5, 1.0),
    *(1.5, 1.99, 2 - 1e-6, 2.0, 2 + 1e-6, 2.5, 4.0),
]
RESIDUALS = [0.0, 1e-6, 1e-3, 0.1, 0.7, 1.0, 2.0, 5.0, 30.0, 1e3, 1e6]


def exact_robust_loss(x, alpha):
    """Computes equation 8 of Barron's paper, with the limits of equation 9."""
    x, alpha = mpmath.mpf(x), mpmath.mpf(alpha)
    if alpha == 2:
        return x**2 / 2
    if alpha == 0:
        return mpmath.log1p(x**2 / 2)
    if alpha == -mpmath.inf:
        return -mpmath.expm1(-(x**2) / 2)
    b = abs(alpha - 2)
    return b / alpha * mpmath.expm1(alpha / 2 * mpmath.log1p(x**2 / b))


def exact_robust_slope(x, alpha):
    """Computes the derivative of `exact_robust_loss` with respect to x."""
    x, alpha = mpmath.mpf(x), mpmath.mpf(alpha)
    if alpha == 2:
        return x
    if alpha == -mpmath.inf:
        return x * mpmath.exp(-(x**2) / 2)
    return x * mpmath.exp((alpha / 2 - 1) * mpmath.log1p(x**2 / abs(alpha - 2)))
