"""Estimators of samples and bounds: true values, dtypes and graph mode."""

from __future__ import annotations

import inspect

import numpy as np
import pytest
import tensorflow as tf

from tests.helpers.estimators import ESTIMATORS

pytestmark = pytest.mark.parametrize("name", ESTIMATORS)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_value_is_close_to_the_truth(name, seed):
    estimator = ESTIMATORS[name]
    value = float(estimator.function(*estimator.data(1000, seed)))
    assert value == pytest.approx(estimator.truth, abs=estimator.error)


def test_graph_returns_the_same_scalar(name):
    estimator = ESTIMATORS[name]
    eager = estimator.function(*estimator.data(200, 0))
    graph = tf.function(lambda: estimator.function(*data))
    data = estimator.data(200, 0)
    assert eager.shape.rank == 0
    assert eager.dtype.is_floating
    np.testing.assert_allclose(graph(), eager, rtol=1e-6)


def test_row_has_the_name_of_the_function(name):
    assert ESTIMATORS[name].public.__name__ == name
    assert "name" in inspect.signature(ESTIMATORS[name].public).parameters
