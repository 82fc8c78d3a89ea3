"""Validation of predicted distributions and of arguments."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

import keras_metaloss as kml

tfd = tfp.distributions


mutual_information = kml.information.mutual_information


def test_variable_parameters_are_validated():
    a = tfd.Categorical(probs=[[0.9, 0.1], [0.1, 0.9]])
    with pytest.raises(ValueError, match="`scale`"):
        mutual_information(a, tfd.Normal([0.0, 1.0], tf.Variable([-1.0, 0.5])))


def test_triangular_scale_is_validated():
    a = tfd.Categorical(probs=[[0.9, 0.1], [0.1, 0.9]])
    scale = np.stack([np.eye(2), [[1.0, 0.0], [0.3, -1.0]]]).astype("float32")
    with pytest.raises(ValueError, match="`scale_tril`"):
        mutual_information(a, tfd.MultivariateNormalTriL(tf.zeros([2, 2]), scale))


NORMAL = tfd.Normal([0.0, 1.0], [1.0, 1.0])


COIN = tfd.Bernoulli(probs=[0.2, 0.8])


BAD = {
    "tensorflow_probability": (keras.ops.ones((2, 3)), NORMAL, {}),
    "batch shape": (tfd.Normal(0.0, 1.0), COIN, {}),
    "batch shape \\(2, 3\\)": (tfd.Normal(tf.zeros([2, 3]), 1.0), COIN, {}),
    "the same batch shape": (COIN, tfd.Normal([0.0, 1.0, 2.0], 1.0), {}),
    "`scale` to be finite and positive": (COIN, tfd.Normal([0.0, 1.0], [1.0, 0.0]), {}),
    "`loc` to be finite\\.": (COIN, tfd.Normal([0.0, np.nan], 1.0), {}),
    "sum to one": (tfd.Categorical(probs=[[0.2, 0.2]] * 2), NORMAL, {}),
    "neither NaN nor all minus infinity": (
        tfd.Categorical(logits=[[-np.inf] * 2] * 2),
        NORMAL,
        {},
    ),
    "finitely many": (tfd.Poisson([1.0, 2.0]), NORMAL, {}),
    "`method`": (COIN, NORMAL, {"method": "ksg"}),
    "`num_points`": (COIN, NORMAL, {"num_points": 4}),
    "positive integer": (COIN, NORMAL, {"num_points": True}),
    "`bandwidth`": (COIN, NORMAL, {"bandwidth": -1.0}),
    "deterministic distributions only": (
        COIN,
        tfd.Laplace([0.0, 1.0], 1.0),
        {"bandwidth": 0.1},
    ),
    "`leave_one_out`": (NORMAL, NORMAL, {"leave_one_out": True}),
    "pairwise_bhattacharyya'": (
        COIN,
        tfd.MultivariateNormalDiag(tf.zeros([2, 2])),
        {"leave_one_out": True},
    ),
    "for vectors": (
        COIN,
        tfd.MultivariateNormalDiag(tf.zeros([2, 2])),
        {"method": "quadrature"},
    ),
    "closed form": (
        COIN,
        tfd.Independent(tfd.StudentT(3.0, tf.zeros([2, 2]), 1.0), 1),
        {},
    ),
    "one weight per input": (COIN, NORMAL, {"sample_weight": [1.0, 1.0, 1.0]}),
    "non-negative numbers": (COIN, NORMAL, {"sample_weight": [1.0, -1.0]}),
}


@pytest.mark.parametrize("message", BAD)
def test_invalid_arguments_raise(message):
    a, b, arguments = BAD[message]
    with pytest.raises(ValueError, match=message) as error:
        mutual_information(a, b, **arguments)
    assert "Received:" in str(error.value)
