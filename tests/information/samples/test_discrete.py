"""Estimators of labels and histograms compared to scikit-learn and NumPy."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from sklearn.metrics import mutual_info_score

import keras_metaloss as kml
from tests.helpers import truths
from tests.helpers.sample_estimators import (
    LABELS,
    X,
)

info = kml.information


def test_plug_in_equals_scikit_learn():
    rng = np.random.default_rng(0)
    a = rng.integers(-3, 5, size=500)
    b = (a + rng.integers(0, 3, size=500)) % 7 * 10**12
    value = info.mutual_information_plug_in(a, b)
    assert float(value) == pytest.approx(mutual_info_score(a, b), abs=1e-6)
    compiled = tf.function(info.mutual_information_plug_in, jit_compile=True)
    assert float(compiled(a, b)) == pytest.approx(float(value), abs=1e-6)
    # The correction removes most of the bias of independent labels.
    a, b = rng.integers(0, 8, size=(2, 2000))
    plug_in = float(info.mutual_information_plug_in(a, b))
    corrected = float(info.mutual_information_miller_madow(a, b))
    assert plug_in - corrected == pytest.approx(49 / 4000, abs=1e-6)
    assert abs(corrected) < plug_in


def test_histogram_equals_numpy():
    x, y, _ = truths.gaussian(1, 0.7, size=2000)
    table = np.histogram2d(x[:, 0], y[:, 0], 10)[0]
    expected = mutual_info_score(None, None, contingency=table)
    assert float(info.mutual_information_histogram(x, y)) == pytest.approx(
        expected, abs=1e-9
    )
    # In two dimensions, it is the plug-in value of the cell indices.
    x, y, _ = truths.gaussian(2, 0.7, size=2000)

    def cells(v):
        low, high = v.min(0), v.max(0)
        bins = np.minimum(np.floor((v - low) / (high - low) * 4), 3)
        return bins @ [4, 1]

    expected = mutual_info_score(cells(x), cells(y))
    value = float(info.mutual_information_histogram(x, y, num_bins=4))
    assert value == pytest.approx(expected, abs=1e-9)


def test_invalid_labels_raise():
    for function in (
        info.mutual_information_plug_in,
        info.mutual_information_miller_madow,
    ):
        with pytest.raises(TypeError, match="`a`.*`mutual_information_ksg`.*float64"):
            function(X, LABELS)
        with pytest.raises(ValueError, match="\\(300,\\).*\\(299,\\)"):
            function(LABELS, LABELS[1:])
        with pytest.raises(ValueError, match="`b`.*\\(300, 2\\)"):
            function(LABELS, np.zeros((300, 2), int))
        with pytest.raises(ValueError, match="two samples.*\\(1,\\)"):
            function([1], [1])
        booleans = function(LABELS > 0, LABELS[:, None].astype("uint8"))
        assert float(booleans) == float(function((LABELS > 0) * 1, LABELS))
    assert float(info.mutual_information_plug_in(np.ones(300, int), LABELS)) == 0.0
