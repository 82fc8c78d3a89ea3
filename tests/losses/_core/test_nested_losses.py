"""Losses inside of losses, and losses of users in models of this package."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_metaloss as kml

L = kml.losses
X = np.random.default_rng(0).normal(size=(6, 2)).astype("float32")
LABELS = np.array([0, 1, 2, 0, 1, 2])


def network(outputs=3):
    keras.utils.set_random_seed(0)
    return keras.Sequential([keras.Input((2,)), keras.layers.Dense(outputs)])


class IntegerLabels(L.MetaLoss):
    """Cross-entropy that gathers by the labels, which must be integers."""

    per_example = True
    integer_targets = True
    output_kind = "logits"

    def values(self, y_true, y_pred, context):
        return -tf.gather(tf.nn.log_softmax(y_pred), y_true, batch_dims=1)


class OverSeveralAxes(L.MetaLoss):
    per_example = True

    def values(self, y_true, y_pred, context):
        return tf.reduce_mean(tf.square(y_true - y_pred), axis=[1, 2])


class WithVariable(L.MetaLoss):
    per_example = True

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.scale = keras.Variable(2.0)

    def values(self, y_true, y_pred, context):
        squares = tf.reduce_mean(tf.square(y_pred - y_true), axis=-1)
        return tf.convert_to_tensor(self.scale) * squares


@pytest.mark.parametrize(
    "inner", [OverSeveralAxes(), L.RapidGeneralizationLoss("mse")], ids=["own", "tasks"]
)
def test_ada_loss_of_values_over_several_axes(inner):
    random = np.random.default_rng(1)
    y_pred = tf.constant(random.normal(size=(4, 4, 2)).astype("float32"))
    with tf.GradientTape() as tape:
        tape.watch(y_pred)
        values = L.AdaLoss(inner, reduction=None)(np.zeros((4, 4, 2)), y_pred)
    gradient = tape.gradient(values, y_pred).numpy()
    means = (y_pred.numpy() ** 2).mean(axis=(1, 2))
    norms = np.sqrt(((2 * y_pred.numpy() / 8) ** 2).sum(axis=(1, 2)))
    weights = 1 / (1 + np.exp(-norms))
    np.testing.assert_allclose(values, weights * means, rtol=1e-5)
    np.testing.assert_allclose(
        gradient, weights[:, None, None] * 2 * y_pred.numpy() / 8, rtol=1e-5
    )


@pytest.mark.parametrize("gradient", ["output", "last_layer", "parameters"])
def test_integer_labels_stay_integers_inside_of_ada_loss(gradient):
    results = []
    for inner in (
        IntegerLabels(),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    ):
        model = kml.AdaptiveLossModel(network())
        model.compile("sgd", L.AdaLoss(inner, gradient))
        results.append(model.evaluate(X, LABELS, verbose=0))
    assert results[0] == pytest.approx(results[1], rel=1e-5)


def test_integer_labels_stay_integers_in_joint_models():
    loss = L.MutualInformationLoss(IntegerLabels(), "mse", beta=0.0)
    labels = np.array([0.0, np.nan, 2.0])
    y_pred = {"a": tf.zeros((3, 3)), "b": tf.zeros((3, 1))}
    value = float(loss({"a": labels, "b": np.zeros((3, 1))}, y_pred))
    assert value == pytest.approx(np.log(3))


def test_integer_targets_of_a_regression_loss_become_floats():
    class Absolute(L.MetaLoss):
        output_kind = "value"

        def values(self, y_true, y_pred, context):
            return tf.reduce_mean(tf.abs(y_true - y_pred), axis=-1)

    loss = L.MutualInformationLoss(Absolute(), "mse", beta=0.0)
    targets = {"a": np.array([[1], [3]]), "b": np.zeros((2, 1))}
    y_pred = {"a": tf.zeros((2, 1)), "b": tf.zeros((2, 1))}
    assert float(loss(targets, y_pred)) == pytest.approx(2.0)


def test_subclass_of_a_keras_loss_receives_floats_as_in_keras():
    class Graded(keras.losses.SparseCategoricalCrossentropy):
        def call(self, y_true, y_pred):
            return super().call(y_true, y_pred) * (1 + 0.1 * y_true)

    logits = np.zeros((2, 3, 4), "float32")
    labels = np.array([[0, 1, 2], [3, 0, 1]])
    loss = L.RapidGeneralizationLoss(Graded(from_logits=True))
    expected = np.log(4) * (1 + 0.1 * labels).mean()
    assert float(loss(labels, logits)) == pytest.approx(expected, rel=1e-5)


def test_ada_loss_of_a_loss_with_a_variable():
    model = network(1)
    model.compile("sgd", L.AdaLoss(WithVariable()))
    assert np.isfinite(model.fit(X, X[:, :1], verbose=0).history["loss"]).all()


def test_focal_loss_is_evaluated_once_inside_of_ada_loss():
    calls = []

    class Counted(L.CategoricalFocalLoss):
        def values(self, y_true, y_pred, context):
            calls.append(1)
            return super().values(y_true, y_pred, context)

    L.AdaLoss(Counted(from_logits=True))(np.eye(3), np.zeros((3, 3), "float32"))
    assert len(calls) == 1


def test_term_that_is_switched_off_requires_nothing():
    term = L.TaskSimilarityLoss("gradient")
    loss = L.RapidGeneralizationLoss("mse", term, lambda_weight=0.0)
    assert float(loss(np.zeros((2, 3, 1)), np.ones((2, 3, 1)))) == 1.0
    assert L.RapidGeneralizationLoss("mse", term, 0.5).requires == {"task_gradients"}


def test_plain_wrapper_of_a_trainable_loss_raises_in_a_plain_model():
    class Doubled(keras.losses.Loss):
        def __init__(self, inner):
            super().__init__()
            self.inner = inner

        def call(self, y_true, y_pred):
            return 2 * self.inner.call(y_true, y_pred)

    focal = L.SparseCategoricalFocalLoss("learned", from_logits=True)
    model = network()
    model.compile("sgd", Doubled(focal))
    assert np.isfinite(model.evaluate(X, LABELS, verbose=0))
    with pytest.raises(
        ValueError, match="kml.AdaptiveLossModel.*passes on its context"
    ):
        model.fit(X, LABELS, verbose=0)


def test_variables_of_a_plain_loss_are_trained():
    class Offset(keras.losses.Loss):
        def __init__(self):
            super().__init__()
            self.offset = keras.Variable(0.0)

        @property
        def trainable_variables(self):
            return [self.offset]

        def call(self, y_true, y_pred):
            return keras.ops.square(y_true - y_pred - self.offset)

    loss = Offset()
    model = kml.AdaptiveLossModel(network(1))
    model.compile("sgd", loss)
    model.fit(X, X[:, :1] + 1.0, verbose=0)
    assert float(loss.offset) != 0.0


def test_mix_in_before_a_class_that_overrides_compute_loss():
    class User(keras.Model):
        def __init__(self):
            super().__init__()
            self.layer = keras.layers.Dense(3)

        def call(self, inputs):
            return self.layer(inputs)

        def compute_loss(
            self, x=None, y=None, y_pred=None, sample_weight=None, training=True
        ):
            assert sample_weight is None
            return 2.0 * super().compute_loss(x, y, y_pred, sample_weight, training)

    class Model(kml.models.TrainableLossMixin, User):
        pass

    model = Model()
    focal = L.SparseCategoricalFocalLoss("learned", from_logits=True)
    model.compile(keras.optimizers.SGD(0.1), focal)
    model.fit(X, LABELS, verbose=0)
    assert focal.gamma != pytest.approx(2.0, abs=1e-6)


@keras.saving.register_keras_serializable(package="tests")
class OwnCompile(kml.models.TrainableLossMixin, keras.Sequential):
    def compile(self, optimizer, loss, extra, **kwargs):
        super().compile(optimizer=optimizer, loss=loss, **kwargs)


@pytest.mark.filterwarnings("ignore:.*compile.*was not called:UserWarning")
def test_model_with_its_own_compile_can_be_loaded(tmp_path):
    model = OwnCompile([keras.Input((2,)), keras.layers.Dense(3)])
    model.compile("sgd", "mse", extra=3)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded(X), model(X))


def test_config_of_a_user_loss_without_dtype_is_restored():
    class Small(L.MetaLoss):
        def __init__(self, power=2.0, name="small", reduction="sum"):
            super().__init__(name=name, reduction=reduction)
            self.power = power

        def get_config(self):
            return {**super().get_config(), "power": self.power}

    assert Small.from_config(Small(3.0).get_config()).power == 3.0
    assert L.AdaptiveRobustLoss(dtype="float64").get_config()["dtype"] == "float64"
