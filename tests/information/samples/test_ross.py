"""Ross's estimator compared to its equation, scikit-learn and KSG."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from scipy.special import digamma
from sklearn.feature_selection._mutual_info import _compute_mi_cd

import keras_metaloss as kml
from tests.helpers.sample_estimators import (
    LABELS,
    X,
    Y,
    spoiled,
)

info = kml.information


def reference_ross(labels, y, k):
    """Computes Ross's equation 2 from a full distance matrix."""
    counts = {label: np.sum(labels == label) for label in labels}
    used = np.array([counts[label] > 1 for label in labels])
    labels, y = labels[used], y[used]
    table = np.abs(y[:, None] - y)
    terms = []
    for i, label in enumerate(labels):
        own = np.sort(table[i, labels == label])[1:]
        near = min(k, len(own))
        closer = np.sum(table[i] < own[near - 1])
        terms.append(digamma(near) - digamma(len(own) + 1) - digamma(closer))
    return digamma(len(y)) + np.mean(terms)


def test_ross_with_rare_labels_equals_its_equation():
    # scikit-learn is not exact here: it computes distances from dot products.
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 40, size=300) ** 2 // 60
    labels[:2] = 98, 99
    y = labels + rng.normal(size=300)
    value = float(info.mutual_information_ross(labels, y, 8))
    assert value == pytest.approx(reference_ross(labels, y, 8), abs=1e-12)


def test_ross_equals_scikit_learn():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 9, size=300)
    labels[:2] = 98, 99  # These occur once.
    y = labels + rng.normal(size=300)
    for k in (3, 8):
        value = float(info.mutual_information_ross(labels, y, k))
        assert value == pytest.approx(_compute_mi_cd(y, labels, k), abs=1e-12)
        compiled = tf.function(info.mutual_information_ross, jit_compile=True)
        assert float(compiled(labels, y, k)) == pytest.approx(value, abs=1e-12)


def test_ross_equals_ksg_with_widely_spaced_labels():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 4, size=400)
    y = labels[:, None] / 2 + rng.normal(size=(400, 2))
    ross = float(info.mutual_information_ross(labels, y, preprocess=None))
    ksg = float(info.mutual_information_ksg(labels * 100.0, y, preprocess=None))
    assert ross == pytest.approx(ksg, abs=1e-12)


def test_ross_invalid_inputs_and_constants():
    ross = info.mutual_information_ross
    with pytest.raises(TypeError, match="`labels`.*float64"):
        ross(X, Y)
    with pytest.raises(TypeError, match="`y`.*int64"):
        ross(LABELS, LABELS)
    with pytest.raises(ValueError, match="\\(300,\\).*\\(299, 1\\)"):
        ross(LABELS, Y[1:])
    with pytest.raises(ValueError, match="`y`.*finite"):
        ross(LABELS, spoiled(np.nan))
    with pytest.raises(ValueError, match="more than once.*300 different"):
        ross(np.arange(300), Y)
    with pytest.raises(ValueError, match="`preprocess`"):
        ross(LABELS, Y, preprocess="whiten")
    assert float(ross(LABELS, np.ones(300))) == 0.0
    assert float(ross(np.zeros(300, int), Y)) == pytest.approx(0, abs=1e-12)
    repeated = np.where(X > 1, 0.0, Y)
    compiled = float(tf.function(ross)(LABELS, repeated))
    assert compiled == pytest.approx(float(ross(LABELS, repeated)), abs=1e-12)
