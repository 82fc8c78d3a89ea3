"""Training and evaluation of `MetaModel` on several replicas."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.helpers.meta_models import conv_model, image_episodes


@pytest.mark.slow
def test_two_replicas_match_one_replica(mirrored):
    episodes = image_episodes(tasks=4)
    data = tf.data.Dataset.from_tensor_slices(episodes).batch(4, drop_remainder=True)
    results = []
    for strategy in (tf.distribute.get_strategy(), mirrored):
        with strategy.scope():
            model = conv_model(optimizer=keras.optimizers.SGD(0.1))
        history = model.fit(data, shuffle=False, verbose=0).history
        evaluation = model.evaluate(data, verbose=0, return_dict=True)
        results.append((history, evaluation, model.get_weights()))
    one, two = results
    assert one[0]["loss"] == pytest.approx(two[0]["loss"], abs=1e-5)
    assert one[1] == pytest.approx(two[1], abs=1e-5)
    for a, b in zip(one[2], two[2], strict=True):
        np.testing.assert_allclose(b, a, rtol=0, atol=1e-5)
