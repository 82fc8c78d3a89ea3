"""Estimators by neighbors on rounded, integer and repeated values."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from sklearn.datasets import load_breast_cancer, load_iris, load_wine
from sklearn.feature_selection import mutual_info_classif, mutual_info_regression

import keras_metaloss as kml
from keras_metaloss.information.samples import _neighbors
from tests.helpers.sample_estimators import (
    LABELS,
    PAIRS,
    X,
    Y,
)

info = kml.information

ESTIMATORS = {
    "ksg": info.mutual_information_ksg,
    "ksg 2": lambda x, y: info.mutual_information_ksg(x, y, variant=2),
    "mixed": info.mutual_information_mixed_ksg,
}


def rounded_pair(decimals, size=4000):
    rng = np.random.default_rng(0)
    x = rng.normal(size=size)
    return x.round(decimals), (x + rng.normal(size=size)).round(decimals)


@pytest.mark.parametrize("decimals", [1, 2, 3])
@pytest.mark.parametrize("name", ESTIMATORS)
def test_rounded_values_give_the_values_of_scikit_learn(name, decimals):
    x, y = rounded_pair(decimals)
    value = float(ESTIMATORS[name](x, y))
    expected = mutual_info_regression(x[:, None], y, random_state=0)[0]
    assert value == pytest.approx(expected, abs=0.03)
    assert value == pytest.approx(np.log(2) / 2, abs=0.03)


@pytest.mark.parametrize("name", ESTIMATORS)
def test_estimates_do_not_depend_on_units_and_order(name):
    x, y = rounded_pair(1)
    value = float(ESTIMATORS[name](x, y))
    units = float(ESTIMATORS[name](np.rint(10 * x), 1e-6 * y))
    assert units == pytest.approx(value, abs=1e-3)
    order = np.random.default_rng(1).permutation(len(x))
    assert float(ESTIMATORS[name](x[order], y[order])) == pytest.approx(value, abs=1e-3)


@pytest.mark.parametrize("load", [load_iris, load_wine, load_breast_cancer])
def test_ross_on_tables_of_features_is_close_to_scikit_learn(load):
    data, target = load(return_X_y=True)
    expected = mutual_info_classif(data, target, random_state=0)
    for column, reference in zip(data.T, expected, strict=True):
        value = float(info.mutual_information_ross(target, column))
        assert max(value, 0.0) == pytest.approx(reference, abs=0.05)
        scaled = float(info.mutual_information_ross(target, 1e3 * column))
        assert scaled == pytest.approx(value, abs=1e-3)


def test_constants_give_zero():
    constant = np.ones(50)
    for name in ("ksg", "ksg 2", "mixed_ksg"):
        estimate = PAIRS.get(name, info.mutual_information_mixed_ksg)
        assert float(estimate(constant, constant)) == 0.0
        compiled = tf.function(estimate)
        assert float(compiled(tf.constant(constant), tf.constant(constant))) == 0.0


def test_integers_are_close_to_the_plug_in_value():
    rng = np.random.default_rng(0)
    x = rng.normal(size=300)
    y = (0.6 * x + 0.8 * rng.normal(size=300)).round(0)
    x = x.round(0)
    value = float(info.mutual_information_mixed_ksg(x, y))
    plug_in = info.mutual_information_miller_madow(x.astype(int), y.astype(int))
    assert value == pytest.approx(float(plug_in), abs=0.1)
    for estimate in (info.mutual_information_ksg, info.mutual_information_mixed_ksg):
        compiled = tf.function(estimate)(tf.constant(x), tf.constant(y))
        assert float(compiled) == pytest.approx(float(estimate(x, y)), abs=1e-12)


def test_duplicated_rows_are_values_of_a_discrete_variable():
    x, y = np.repeat(X[:75], 4), np.repeat(Y[:75], 4)
    value = float(info.mutual_information_ksg(x, y))
    # All 75 pairs are different: I = H(x) = log(75), up to the digamma function.
    assert value == pytest.approx(np.log(75), abs=0.2)


def test_ksg_accepts_discrete_and_continuous_variables():
    variants = [
        float(info.mutual_information_ksg(LABELS.astype(float), Y, variant=v))
        for v in (1, 2)
    ]
    assert variants[0] == pytest.approx(variants[1], abs=0.1)
    with pytest.raises(ValueError, match="`variant`.*3"):
        info.mutual_information_ksg(X, Y, variant=3)


@pytest.mark.skipif(not _neighbors._HAS_SCIPY, reason="requires SciPy")
def test_repeated_values_do_not_take_quadratic_time(monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("brute force")

    kinds = np.random.default_rng(0).integers(0, 3, 20_000).astype(float)
    monkeypatch.setattr(_neighbors, "_count_in_blocks", refuse)
    value = float(info.mutual_information_mixed_ksg(kinds, kinds))
    assert value == pytest.approx(np.log(3), abs=0.01)
