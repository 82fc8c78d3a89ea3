"""Samples with repeated values raise, emit a warning or give NaN."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

import keras_metaloss as kml
from tests.helpers.sample_estimators import (
    LABELS,
    PAIRS,
    X,
    Y,
)

info = kml.information


def test_ksg_rejects_two_constants_and_mixed_ksg_returns_zero():
    constant = np.ones(50)
    assert float(info.mutual_information_mixed_ksg(constant, constant)) == 0.0
    for name in ("ksg", "ksg 2"):
        with pytest.raises(ValueError, match="mixed_ksg.*50 of 50"):
            PAIRS[name](constant, constant)
        compiled = tf.function(PAIRS[name])
        assert np.isnan(compiled(tf.constant(constant), tf.constant(constant)))


def test_rounded_data_warn_for_ksg_and_not_for_mixed_ksg():
    rng = np.random.default_rng(0)
    x = rng.normal(size=300)
    y = (0.6 * x + 0.8 * rng.normal(size=300)).round(0)
    x = x.round(0)
    with pytest.warns(UserWarning, match="of 300 samples coincide.*mixed_ksg"):
        info.mutual_information_ksg(x, y)
    with pytest.raises(ValueError, match="of 300 samples coincide"):
        info.mutual_information_ksg(x, y, variant=2)
    graph = tf.function(info.mutual_information_ksg)
    assert np.isnan(graph(tf.constant(x), tf.constant(y)))

    @tf.function
    def validated(x, y):
        return info.mutual_information_ksg(x, y, validate_args=True)

    with pytest.raises(
        tf.errors.InvalidArgumentError, match="without repeated values.*mixed_ksg"
    ):
        validated(tf.constant(x), tf.constant(y))
    # The estimate is close to the plug-in value, with digamma instead of logarithm.
    value = float(info.mutual_information_mixed_ksg(x, y))
    plug_in = info.mutual_information_miller_madow(x.astype(int), y.astype(int))
    assert value == pytest.approx(float(plug_in), abs=0.1)


def test_ksg_rejects_duplicated_rows():
    x, y = np.repeat(X[:75], 4), np.repeat(Y[:75], 4)
    with pytest.raises(ValueError, match="300 of 300"):
        info.mutual_information_ksg(x, y)


def test_ksg_variant_two_rejects_discrete_data():
    with pytest.raises(ValueError, match="without repeated values"):
        info.mutual_information_ksg(LABELS.astype(float), Y, variant=2)
    with pytest.raises(ValueError, match="`variant`.*3"):
        info.mutual_information_ksg(X, Y, variant=3)
