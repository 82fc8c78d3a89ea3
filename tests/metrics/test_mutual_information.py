"""Streaming mutual information metrics, compared to scikit-learn."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf
from sklearn.metrics import mutual_info_score, normalized_mutual_info_score

import keras_metaloss as kml

METRICS = {
    "plain": (kml.metrics.MutualInformation, mutual_info_score),
    "normalized": (
        kml.metrics.NormalizedMutualInformation,
        normalized_mutual_info_score,
    ),
}


def labels(seed=0, size=500):
    rng = np.random.default_rng(seed)
    true = rng.integers(0, 4, size=size)
    return true, (true + rng.integers(0, 2, size=size)) % 4


@pytest.mark.parametrize("name", METRICS)
def test_equals_scikit_learn_over_uneven_batches(name):
    make, score = METRICS[name]
    true, predicted = labels()
    metric = make(4)
    for a, b in zip(
        np.split(true, [7, 300]), np.split(predicted, [7, 300]), strict=True
    ):
        metric.update_state(a, b)
    assert float(metric.result()) == pytest.approx(score(true, predicted), rel=1e-6)
    metric.reset_state()
    # Without samples, both sides count as constant, as in scikit-learn.
    assert float(metric.result()) == (0.0 if name == "plain" else 1.0)
    metric.update_state([1, 1], [2, 2])
    assert float(metric.result()) == pytest.approx(score([1, 1], [2, 2]), abs=1e-12)


@pytest.mark.parametrize("name", METRICS)
def test_scores_label_columns_and_sample_weights(name):
    make, score = METRICS[name]
    true, predicted = labels()
    weight = np.random.default_rng(1).integers(0, 3, size=true.size)
    metric = make((4, 5))
    metric.update_state(true[:, None], np.eye(5)[predicted] * 3 - 1, weight)
    repeated = score(np.repeat(true, weight), np.repeat(predicted, weight))
    assert float(metric.result()) == pytest.approx(repeated, rel=1e-6)


@pytest.mark.parametrize("name", METRICS)
def test_config_round_trip(name):
    metric = METRICS[name][0]((4, 5), name="mine")
    copy = keras.saving.deserialize_keras_object(
        keras.saving.serialize_keras_object(metric)
    )
    assert copy.get_config() == metric.get_config()
    assert copy.sizes == (4, 5)


@pytest.mark.parametrize("jit_compile", [False, True])
def test_metric_in_a_compiled_model(jit_compile):
    x = np.random.default_rng(0).normal(size=(200, 4)).astype("float32")
    true = np.argmax(x, axis=1)
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(4)])
    model.compile(
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=[kml.metrics.MutualInformation(4)],
        jit_compile=jit_compile,
    )
    logged = model.evaluate(x, true, batch_size=60, verbose=0, return_dict=True)
    predicted = model.predict(x, verbose=0).argmax(-1)
    expected = mutual_info_score(true, predicted)
    assert logged["mutual_information"] == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("name", METRICS)
def test_invalid_labels_raise_or_give_nan_in_graph_mode(name):
    metric = METRICS[name][0](3)
    with pytest.raises(ValueError, match="from 0 to 2"):
        metric.update_state([0, 3], [0, 1])
    with pytest.raises(ValueError, match="\\[..., 3\\].*\\(2, 4\\)"):
        metric.update_state([0, 1], np.ones((2, 4)))
    for jit_compile in (False, True):
        metric.reset_state()
        tf.function(metric.update_state, jit_compile=jit_compile)([0, -1], [0, 1])
        assert np.isnan(float(metric.result()))


@pytest.mark.parametrize("name", METRICS)
def test_different_numbers_of_samples_raise(name):
    metric = METRICS[name][0](2)
    with pytest.raises(ValueError, match="same number of samples"):
        metric.update_state([0, 1, 1], [1])
    with pytest.raises(ValueError, match="same number of samples"):
        metric.update_state([0, 1, 1], [1, 0, 1], sample_weight=[1.0])


@pytest.mark.parametrize("num_classes", [0, True, 2.0, (), (2, 3, 4), (2, "a")])
def test_invalid_num_classes_raises(num_classes):
    with pytest.raises(ValueError, match="`num_classes`"):
        kml.metrics.MutualInformation(num_classes)
