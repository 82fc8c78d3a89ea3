"""Training on two replicas is equal to training on one replica."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.helpers.multi_task_models import (
    WEIGHTINGS,
    all_variables,
    batch,
    multi_task_model,
)

# Evaluation uses only the objective of the weighting. These cases cover a sum, an
# objective with parameters and a product.
EVALUATED = ("fixed", "uncertainty", "gls")
# `balance="both"` covers the two other cases of IMTL.
TRAINED = sorted(set(WEIGHTINGS) - {"imtl-g", "imtl-l"})


def trained(method, strategy, run_eagerly):
    """Returns history, evaluation and variables after three epochs of two steps."""
    data = tf.data.Dataset.from_tensor_slices(batch(16)).batch(8, drop_remainder=True)
    with strategy.scope():
        model = multi_task_model(
            method,
            keras.optimizers.SGD(0.1),
            regularizer=True,
            run_eagerly=run_eagerly,
        )
    history = model.fit(data, epochs=3, shuffle=False, verbose=0).history
    evaluation = {}
    if method in EVALUATED:
        evaluation = model.evaluate(data, verbose=0, return_dict=True)
    return history, evaluation, all_variables(model)


@pytest.mark.slow
@pytest.mark.parametrize("method", TRAINED)
def test_two_replicas_match_one_replica(method, mirrored):
    one = trained(method, tf.distribute.get_strategy(), run_eagerly=True)
    two = trained(method, mirrored, run_eagerly=False)
    for a, b in zip(one[:2], two[:2], strict=True):
        assert sorted(a) == sorted(b)
        for name, values in a.items():
            np.testing.assert_allclose(b[name], values, rtol=1e-3, err_msg=name)
    for a, b in zip(one[2], two[2], strict=True):
        np.testing.assert_allclose(b, a, rtol=1e-3, atol=1e-4)
