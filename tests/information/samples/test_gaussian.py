"""Gaussian estimators compared to determinants and rank correlations."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import spearmanr

import keras_metaloss as kml
from tests.helpers import truths
from tests.helpers.sample_estimators import (
    X,
    Y,
)

info = kml.information


def log_det(matrix):
    return np.linalg.slogdet(matrix)[1]


@pytest.mark.parametrize("split", [1, 2, 3])
def test_gaussian_equals_half_the_log_ratio_of_determinants(split):
    rng = np.random.default_rng(0)
    data = rng.normal(size=(500, 4)) @ rng.normal(size=(4, 4)) * [1, 1e3, 1e-3, 1] + 1e4
    s = np.cov(data.T)
    expected = (
        log_det(s[:split, :split]) + log_det(s[split:, split:]) - log_det(s)
    ) / 2
    value = info.mutual_information_gaussian(data[:, :split], data[:, split:])
    assert float(value) == pytest.approx(expected, rel=1e-6)


def test_gaussian_copula_ignores_monotonic_transformations():
    x, y, truth = truths.gaussian(1, 0.75)
    value = float(info.mutual_information_gaussian_copula(x, y))
    changed = info.mutual_information_gaussian_copula(np.exp(x), y**3)
    assert float(changed) == pytest.approx(value, abs=1e-12)
    assert value == pytest.approx(truth, abs=0.02)
    # For a Gaussian copula, Spearman's coefficient determines the correlation.
    rho = 2 * np.sin(np.pi / 6 * spearmanr(x[:, 0], y[:, 0]).statistic)
    assert value == pytest.approx(-np.log(1 - rho**2) / 2, abs=0.01)


def test_gaussian_rejects_linearly_dependent_columns():
    with pytest.raises(ValueError, match="`x`.*linearly independent"):
        info.mutual_information_gaussian(np.stack([X, 2 * X], 1), Y)
