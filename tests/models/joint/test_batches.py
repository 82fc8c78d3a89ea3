"""Inputs of a `JointModel`."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from tests.helpers.joint_models import data, joint_model


def test_separate_inputs_per_network():
    x, y = data("logits", "value")
    model = joint_model()
    shared = model.predict(x, verbose=0)
    each = model.predict({"a": x, "b": x[::-1].copy()}, verbose=0)
    np.testing.assert_allclose(each["a"], shared["a"], atol=1e-6)
    np.testing.assert_allclose(each["b"], shared["b"][::-1], atol=1e-6)
    dataset = tf.data.Dataset.from_tensor_slices(({"a": x, "b": x}, tuple(y.values())))
    model.fit(dataset.batch(8), verbose=0)
