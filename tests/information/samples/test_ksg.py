"""KSG estimator compared to true values, its equations and scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from scipy.special import digamma
from sklearn.feature_selection import mutual_info_regression
from sklearn.feature_selection._mutual_info import _compute_mi_cc

import keras_metaloss as kml
from tests.helpers import truths
from tests.helpers.sample_estimators import (
    X,
)

info = kml.information


FAMILIES = {
    "gaussian 1": lambda: truths.gaussian(1, 0.75),
    "gaussian 2": lambda: truths.gaussian(2, 0.6),
    "gaussian 3": lambda: truths.dense_gaussian(3, 0.5),
    "gaussian 5": lambda: truths.dense_gaussian(5, 0.3, seed=2),
    "bimodal": truths.bimodal,
    "half-cube": truths.half_cube,
    "additive noise": truths.additive_noise,
    "student": truths.student,
}


@pytest.fixture(scope="module")
def families():
    return {name: make() for name, make in FAMILIES.items()}


@pytest.mark.parametrize("name", FAMILIES)
def test_ksg_is_close_to_the_true_value(families, name):
    x, y, truth = families[name]
    assert float(info.mutual_information_ksg(x, y)) == pytest.approx(truth, abs=0.02)
    value = info.mutual_information_ksg(x, y, variant=2)
    assert float(value) == pytest.approx(truth, abs=0.03)


@pytest.mark.parametrize("name", ["gaussian 1", "bimodal", "half-cube", "student"])
@pytest.mark.parametrize("scale", [1.0, 1e6, 1e-9])
def test_ksg_equals_scikit_learn(families, name, scale):
    x, y, _ = (np.ravel(v) * scale for v in families[name])
    x, y = x[:3000], y[:3000]
    for k in (3, 6):
        # scikit-learn clips its estimate at zero.
        value = max(0, float(info.mutual_information_ksg(x, y, k, preprocess=None)))
        assert value == pytest.approx(_compute_mi_cc(x, y, k), abs=1e-9)


def reference_ksg(x, y, k, variant):
    """Computes Kraskov's equations 8 and 9 from full distance matrices."""
    d_x = np.abs(x[:, None] - x[None]).max(-1)
    d_y = np.abs(y[:, None] - y[None]).max(-1)
    joint = np.maximum(d_x, d_y)
    np.fill_diagonal(joint, np.inf)
    near = np.argsort(joint, axis=1)[:, :k]
    size = len(x)
    if variant == 1:
        radius = np.take_along_axis(joint, near, 1)[:, -1:]
        n_x, n_y = (d_x < radius).sum(1) - 1, (d_y < radius).sum(1) - 1
        mean = np.mean(digamma(n_x + 1) + digamma(n_y + 1))
        return digamma(k) + digamma(size) - mean
    side_x = np.take_along_axis(d_x, near, 1).max(1, keepdims=True)
    side_y = np.take_along_axis(d_y, near, 1).max(1, keepdims=True)
    n_x, n_y = (d_x <= side_x).sum(1) - 1, (d_y <= side_y).sum(1) - 1
    mean = np.mean(digamma(n_x) + digamma(n_y))
    return digamma(k) - 1 / k - mean + digamma(size)


@pytest.mark.parametrize("variant", [1, 2])
@pytest.mark.parametrize("dimensions", [1, 3])
def test_ksg_equals_its_equations_in_eager_graph_and_xla(dimensions, variant):
    x, y, _ = truths.gaussian(dimensions, 0.7, seed=9, size=400)
    expected = reference_ksg(x, y, 4, variant)

    def estimate(x, y):
        return info.mutual_information_ksg(x, y, 4, variant, preprocess=None)

    any_length = tf.function(
        estimate,
        input_signature=[tf.TensorSpec([None, dimensions], tf.float64)] * 2,
    )
    for mode in (estimate, any_length, tf.function(estimate, jit_compile=True)):
        assert float(mode(x, y)) == pytest.approx(expected, abs=1e-12)
    single = estimate(tf.constant(x, tf.float32), tf.constant(y, tf.float32))
    assert single.dtype == tf.float32
    assert float(single) == pytest.approx(expected, abs=1e-2)


@pytest.mark.parametrize("dimensions", [1, 5])
def test_ksg_without_scipy_gives_equal_values(monkeypatch, dimensions):
    x, y, _ = truths.gaussian(dimensions, 0.7, size=500)
    expected = float(info.mutual_information_ksg(x, y))
    monkeypatch.setattr(
        "keras_metaloss.information.samples._neighbors._HAS_SCIPY", False
    )
    assert float(info.mutual_information_ksg(x, y)) == expected


def test_rank_reduces_the_error_for_heavy_tails():
    x, y, truth = truths.student(degrees=1)
    assert truth == pytest.approx(0.2242, abs=1e-4)  # Published value.
    plain = float(info.mutual_information_ksg(x, y))
    rank = float(info.mutual_information_ksg(x, y, preprocess="rank"))
    assert abs(rank - truth) < 0.02 < abs(plain - truth)


def test_preprocess_removes_monotonic_and_linear_changes():
    x, y, _ = truths.gaussian(1, 0.7, size=1000)
    rank = info.mutual_information_ksg(x, y, preprocess="rank")
    assert float(info.mutual_information_ksg(x**3, y, preprocess="rank")) == float(rank)
    plain = float(
        info.mutual_information_ksg(x / x.std(), y / y.std(), preprocess=None)
    )
    scaled = info.mutual_information_ksg(1e3 * x + 7, y, preprocess="standardize")
    assert float(scaled) == pytest.approx(plain, abs=1e-3)


def test_mutual_information_of_identical_variables():
    # The true value is infinite; the estimate is at most psi(N) - psi(k).
    expected = tf.math.digamma(300.0) - tf.math.digamma(3.0)
    value = float(info.mutual_information_ksg(X, X))
    reference = mutual_info_regression(X[:, None], X, random_state=0)[0]
    assert value < float(expected)
    assert value == pytest.approx(reference, abs=0.1)
    assert float(info.mutual_information_gaussian(X, X)) > 15
