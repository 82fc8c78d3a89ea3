"""Base classes can be extended outside of the package; named tuples are returned.

Each subclass implements only what the documentation of its base class requires.
"""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

import keras_metaloss as kml

A, L = kml.adaptation, kml.losses


class SignDescent(A.GradientAdaptation):
    """Inner steps by the sign of the gradient, on the bias only."""

    def is_adapted(self):
        return [v.name == "bias" for v in self.weight_variables()]

    def update(self, step, gradients, optimizer_state, weights):
        pairs = zip(weights, gradients, strict=True)
        return [w - 0.5 * tf.sign(g) for w, g in pairs], optimizer_state


class NearestMean(A.MetricAdaptation):
    """Classifies by the city block distance to class means."""

    def memorize(self, embeddings, classes, mask, *, training):
        counts = tf.reduce_sum(classes, axis=1)[..., tf.newaxis]
        return {"means": tf.einsum("tsc,tsd->tcd", classes, embeddings) / counts}

    def score(self, queries, memory, *, training):
        gap = queries[:, :, tf.newaxis] - memory["means"][:, tf.newaxis]
        return -tf.reduce_sum(tf.abs(gap), axis=-1)


class Laplace(L.TrainableLoss):
    """Likelihood of a Laplace distribution with a trained scale."""

    per_example = True

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.add_parameter("log_scale", 0.0)

    def values(self, y_true, y_pred, context):
        log_scale = self.parameter("log_scale", context)
        error = keras.ops.abs(y_true - y_pred)
        return keras.ops.mean(error * keras.ops.exp(-log_scale) + log_scale, axis=-1)


class LossRange(L.InterTaskLoss):
    """Difference of the largest and the smallest loss of a task."""

    def call(self, task_losses, y_true, y_pred, context):
        return tf.reduce_max(task_losses) - tf.reduce_min(task_losses)


class LargestLoss(L.weighting.TaskWeighting):
    """Trains the task with the largest loss."""

    def compute_weights(self, losses, products=None):
        weights = tf.one_hot(tf.argmax(losses), len(self.tasks), dtype=losses.dtype)
        return L.weighting.TaskWeights(weights, weights)


def linear(outputs=1):
    learner = keras.Sequential([keras.Input((2,)), keras.layers.Dense(outputs)])
    learner.set_weights([np.eye(2, outputs), np.zeros(outputs)])
    return learner


def test_gradient_adaptation_with_another_update():
    model = kml.MetaModel(linear(), SignDescent(3, learning_rate=1.0, loss="mse"))
    adapted = model.adapt(np.zeros((4, 2)), np.full((4, 1), 5.0))
    kernel, bias = adapted.get_weights()
    np.testing.assert_array_equal(kernel, np.eye(2, 1))
    np.testing.assert_array_equal(bias, [1.5])


def test_metric_adaptation_with_another_distance():
    model = kml.MetaModel(linear(2), NearestMean(classes=2))
    x, y = np.array([[0.0, 0], [2, 0], [4, 4]]), np.array([0, 0, 1])
    logits = model.adapt(x, y)(np.array([[1.0, 1.0]]))
    np.testing.assert_allclose(logits, [[-1.0, -6.0]])


@pytest.mark.parametrize("method", [SignDescent, NearestMean])
def test_adaptation_subclasses_train(method):
    random = np.random.default_rng(0)
    episode = {
        "support_x": random.normal(size=(8, 4, 2)),
        "support_y": np.tile([0, 1], (8, 2)),
        "query_x": random.normal(size=(8, 6, 2)),
    }
    model = kml.MetaModel(linear(2), method())
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    before = model.learner.get_weights()[0]
    model.fit(episode, np.tile([0, 1], (8, 3)), batch_size=4, verbose=0)
    assert (model.learner.get_weights()[0] != before).all()


def test_parameter_of_a_loss_is_trained_to_its_optimum():
    x = np.zeros((64, 2), "float32")
    y = np.random.default_rng(0).laplace(scale=3.0, size=(64, 1)).astype("float32")
    learner = linear()
    learner.trainable = False
    model = kml.AdaptiveLossModel(learner)
    loss = Laplace()
    model.compile(keras.optimizers.Adam(0.05), loss)
    model.fit(x, y, batch_size=64, epochs=200, verbose=0)
    (log_scale,) = loss.trainable_variables
    # The maximum likelihood estimate of the scale is the mean absolute error.
    assert float(np.exp(log_scale.numpy())) == pytest.approx(np.abs(y).mean(), rel=0.01)


def test_custom_term_between_tasks_in_a_loss_and_a_model():
    loss = L.RapidGeneralizationLoss("mse", LossRange(), lambda_weight=2.0)
    value = loss(np.zeros((2, 1, 1)), np.array([[[1.0]], [[2.0]]]))
    assert float(value) == pytest.approx((1 + 4) / 2 + 2 * (4 - 1))
    model = kml.MetaModel(linear(), A.MAML(1, 0.0))
    model.compile("sgd", loss)
    episode = {key: np.ones((2, 1, 2)) for key in ("support_x", "query_x")}
    episode["support_y"] = np.zeros((2, 1, 1))
    y = np.array([[[0.0]], [[-1.0]]])  # predictions are 1
    assert model.evaluate(episode, y, verbose=0) == pytest.approx(8.5)


def test_custom_weighting_trains_the_task_with_largest_loss():
    inputs = keras.Input((2,))
    heads = {n: keras.layers.Dense(1, name=n, use_bias=False)(inputs) for n in "ab"}
    model = kml.MultiTaskModel(keras.Model(inputs, heads), LargestLoss())
    model.compile(keras.optimizers.SGD(0.1), {"a": "mse", "b": "mse"})
    before = {n: model.model.get_layer(n).get_weights()[0] for n in "ab"}
    x = np.ones((4, 2), "float32")
    model.fit(x, {"a": np.full((4, 1), 9.0), "b": np.zeros((4, 1))}, verbose=0)
    after = {n: model.model.get_layer(n).get_weights()[0] for n in "ab"}
    assert (after["a"] > before["a"]).all()
    np.testing.assert_array_equal(after["b"], before["b"])


def task():
    x = tf.zeros([3, 2])
    return A.Task(support_x=x, support_y=tf.zeros([3, 1]), query_x=x)


def adaptation():
    method = A.MAML(loss="mse")
    method.build_for(linear())
    return method


def coin():
    return tfp.distributions.Bernoulli(probs=[0.2, 0.9])


RECORDS = {
    A.Adapted: lambda: adaptation().initial(task()),
    A.TaskResult: lambda: adaptation().result_signature(
        {"query_x": tf.zeros([1, 3, 2])}, training=True
    ),
    kml.information.InformationBounds: lambda: (
        kml.information.mutual_information_bounds(coin(), coin())
    ),
    kml.information.InformationTerms: lambda: kml.information.mutual_information_terms(
        coin(), coin()
    ),
    kml.information.JointDensity: lambda: kml.information.joint_density(coin(), coin()),
    L.weighting.TaskWeights: lambda: attached().compute_weights(tf.constant([1.0, 2])),
}


def attached():
    weighting = L.weighting.FixedWeighting()
    weighting.build_for(["a", "b"])
    return weighting


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.__name__)
def test_records_are_returned(record):
    result = RECORDS[record]()
    assert type(result) is record
    assert all(
        field is not None or name == "memory"
        for name, field in zip(result._fields, result, strict=True)
    )
