"""Kernel density estimators compared to their formulas."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

import keras_metaloss as kml
from tests.helpers.sample_estimators import (
    X,
    Y,
)

info = kml.information


def test_kde_equals_its_formula():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(300, 2))
    y = x[:, :1] + rng.normal(size=(300, 1))
    h_x, h_y = (v.std(0, ddof=1) * 300 ** (-1 / 7) for v in (x, y))
    square_x = (((x[:, None] - x) / h_x) ** 2).sum(-1)
    square_y = (((y[:, None] - y) / h_y) ** 2).sum(-1)

    def log_density(square):
        kernels = np.exp(-square / 2)
        np.fill_diagonal(kernels, 0)
        return np.log(kernels.sum(1) / 299)

    expected = np.mean(
        log_density(square_x + square_y) - log_density(square_x) - log_density(square_y)
    )
    value = info.mutual_information_kde(x, y)
    assert float(value) == pytest.approx(expected, abs=1e-10)


@pytest.mark.parametrize(
    "estimate", [info.mutual_information_kde, info.mutual_information_gaussian]
)
def test_gradients_equal_finite_differences(estimate):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(30, 2))
    y = x + rng.normal(size=(30, 2))
    tensor = tf.constant(x)
    with tf.GradientTape() as tape:
        tape.watch(tensor)
        value = estimate(tensor, y)
    gradient = tape.gradient(value, tensor).numpy()
    for index in [(0, 0), (17, 1)]:
        step = np.zeros_like(x)
        step[index] = 1e-5
        numeric = (float(estimate(x + step, y)) - float(estimate(x - step, y))) / 2e-5
        assert gradient[index] == pytest.approx(numeric, rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("bandwidth", ["wide", 0.0, -1.0, True, np.nan])
def test_invalid_bandwidths_raise(bandwidth):
    with pytest.raises(ValueError, match="`bandwidth`"):
        info.mutual_information_kde(X, Y, bandwidth)
    with pytest.raises(ValueError, match="`bandwidth`"):
        info.entropy_kde(X, bandwidth)
