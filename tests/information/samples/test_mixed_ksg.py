"""Mixed KSG estimator compared to true values and its published code."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from scipy.special import digamma

import keras_metaloss as kml
from tests.helpers import truths

info = kml.information


@pytest.mark.parametrize("preprocess", [None, "rank"])
def test_mixed_ksg_on_gaos_uniform_discrete_family(preprocess):
    x, y, truth = truths.uniform_discrete()
    assert truth == pytest.approx(np.log(5) - 4 * np.log(2) / 5, abs=1e-12)
    x = x.astype(float)
    value = info.mutual_information_mixed_ksg(x, y, preprocess=preprocess)
    assert float(value) == pytest.approx(truth, abs=0.02)


def test_mixed_ksg_and_ross_on_zero_inflated_poisson():
    x, y, truth = truths.zero_inflated_poisson()
    assert truth == pytest.approx(0.22978, abs=1e-5)
    mixed = float(info.mutual_information_mixed_ksg(x, y.astype(float)))
    assert mixed == pytest.approx(truth, abs=0.02)
    assert float(info.mutual_information_ross(y, x)) == pytest.approx(truth, abs=0.02)


def reference_mixed(x, y, k):
    """Computes the loop of Gao's published code on full distance matrices."""
    d_x, d_y = (np.abs(v[:, None] - v[None]) for v in (x, y))
    joint = np.maximum(d_x, d_y)
    total = 0.0
    for i in range(len(x)):
        radius = np.sort(joint[i])[k]
        if radius == 0:
            counts = [(d[i] == 0).sum() for d in (joint, d_x, d_y)]
        else:
            counts = [k, (d_x[i] < radius).sum(), (d_y[i] < radius).sum()]
        own, n_x, n_y = digamma(counts)
        total += own + np.log(len(x)) - n_x - n_y
    return total / len(x)


def test_mixed_ksg_equals_gaos_code():
    rng = np.random.default_rng(0)
    x = rng.integers(0, 3, size=300).astype(float)
    y = rng.normal(size=300)
    z = y + rng.normal(size=300)
    # Ties between positive distances, which the code treats differently, are absent.
    for a, b in ((x, 2.0 - x), (y, z)):
        value = float(info.mutual_information_mixed_ksg(a, b, 4, preprocess=None))
        assert value == pytest.approx(reference_mixed(a, b, 4), abs=1e-12)
        compiled = tf.function(info.mutual_information_mixed_ksg, jit_compile=True)
        assert float(compiled(a, b, 4, None)) == pytest.approx(value, abs=1e-12)


def test_mixed_ksg_when_all_samples_are_within_every_radius():
    """The expected value is that of Gao's code."""
    x, y = np.arange(4.0), np.array([0.0, 1.1, 2.3, 3.6])
    value = float(info.mutual_information_mixed_ksg(x, y))
    assert value == pytest.approx(0.1302, abs=1e-4)
