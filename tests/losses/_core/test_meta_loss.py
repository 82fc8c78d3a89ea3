"""The loss contract: all models use the declared attributes of a custom loss."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_metaloss as kml

RAMP = keras.optimizers.schedules.PolynomialDecay(0.0, 8, 1.0)


@keras.saving.register_keras_serializable(package="tests")
class RampedError(kml.losses.MetaLoss):
    """Mean squared error with a weight that grows from 0 to 1 over 8 updates."""

    per_example = True
    output_kind = "value"

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.track_step()

    def values(self, y_true, y_pred, context):
        weight = keras.ops.cast(RAMP(context.step), y_pred.dtype)
        return weight * keras.losses.mean_squared_error(y_true, y_pred)


@keras.saving.register_keras_serializable(package="tests")
class LabelsAsValues(kml.losses.MetaLoss):
    """Returns its labels as values."""

    integer_targets = True

    def values(self, y_true, y_pred, context):
        assert y_true.dtype.is_integer
        return tf.cast(y_true, tf.float32)


class LossWithRequirements(kml.losses.MetaLoss):
    def __init__(self, *requires):
        super().__init__()
        self.requires = frozenset(requires)

    def values(self, y_true, y_pred, context):
        return tf.reduce_mean(y_pred, axis=-1)


def network(outputs=1):
    keras.utils.set_random_seed(0)
    return keras.Sequential([keras.Input((2,)), keras.layers.Dense(outputs)])


def two_outputs():
    keras.utils.set_random_seed(0)
    x = keras.Input((2,))
    outputs = {name: keras.layers.Dense(1, name=name)(x) for name in ("a", "b")}
    return keras.Model(x, outputs)


def batch():
    random = np.random.default_rng(0)
    return random.normal(size=(8, 2)), random.normal(size=(8, 1))


def plain(loss):
    model = network()
    model.compile(keras.optimizers.SGD(0.1), loss)
    callbacks = [kml.callbacks.LossSchedule()]
    return model, *batch(), callbacks


def adaptive(loss):
    model = kml.AdaptiveLossModel(network())
    model.compile(keras.optimizers.SGD(0.1), loss)
    return model, *batch(), None


def multi_task(loss):
    model = kml.MultiTaskModel(two_outputs())
    model.compile(keras.optimizers.SGD(0.1), {"a": loss, "b": "mse"})
    x, y = batch()
    return model, x, {"a": y, "b": y}, None


def joint(loss):
    model = kml.JointModel(network(), network())
    losses = kml.losses.MutualInformationLoss(loss, "mse", beta=0.0)
    model.compile(keras.optimizers.SGD(0.1), losses)
    x, y = batch()
    return model, x, {"a": y, "b": y}, None


def meta(loss, inner_loss="mse"):
    model = kml.MetaModel(network(), kml.adaptation.MAML(1, 0.1, loss=inner_loss))
    model.compile(keras.optimizers.SGD(0.1), loss)
    x, y = batch()
    x, y = (v[np.newaxis].astype("float32") for v in (x, y))
    return model, {"support_x": x, "support_y": y, "query_x": x}, y, None


def weighted_meta(loss):
    return meta(kml.losses.RapidGeneralizationLoss(loss))


MODELS = {f.__name__: f for f in (adaptive, joint, meta, multi_task, weighted_meta)}


@pytest.mark.parametrize("name", MODELS)
def test_every_model_updates_the_step_of_a_custom_loss(name):
    """The models count updates as the callback does in a plain Keras model."""
    expected, loss = RampedError(), RampedError()
    model, x, y, callbacks = plain(expected)
    model.fit(x, y, batch_size=8, epochs=3, callbacks=callbacks, verbose=0)
    model, x, y, _ = MODELS[name](loss)
    model.fit(x, y, batch_size=8, epochs=3, verbose=0)
    assert int(loss.step) == int(expected.step) == 3


def test_scheduled_user_loss_is_computed_at_the_current_step():
    model, x, y, callbacks = plain(RampedError())
    by_callback = model.fit(
        x, y, batch_size=8, epochs=3, callbacks=callbacks, verbose=0
    )
    model, x, y, _ = adaptive(RampedError())
    by_model = model.fit(x, y, batch_size=8, epochs=3, verbose=0)
    np.testing.assert_allclose(
        by_model.history["loss"], by_callback.history["loss"], rtol=1e-6
    )
    assert by_model.history["loss"][0] == 0.0 < by_model.history["loss"][1]


def test_step_counter_is_saved_with_the_model(tmp_path):
    model, x, y, _ = adaptive(RampedError())
    model.fit(x, y, batch_size=4, epochs=2, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert int(loaded.loss.step) == 4
    assert loaded.train_on_batch(x, y) == model.train_on_batch(x, y)


def test_step_comes_from_the_counter_without_a_model():
    loss = RampedError()
    loss.set_step(4)
    assert float(loss([[0.0]], [[2.0]])) == pytest.approx(2.0)
    assert float(loss.call(tf.zeros((1, 1)), 2 * tf.ones((1, 1)))[0]) == 2.0
    # The counter of the loss replaces the step of a caller.
    context = kml.losses.LossContext(step=8)
    assert float(loss([[0.0]], [[2.0]], context=context)) == pytest.approx(2.0)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_integer_labels_are_not_rounded(dtype):
    loss = LabelsAsValues(dtype=dtype, reduction=None)
    assert float(tf.cast(loss([999], [[0.0]]), tf.float32)[0]) == pytest.approx(
        999, rel=5e-3
    )
    wrapped = kml.losses.AdaLoss(LabelsAsValues(dtype=dtype), dtype=dtype)
    assert wrapped.integer_targets
    between = kml.losses.RapidGeneralizationLoss(LabelsAsValues(), dtype=dtype)
    assert between.integer_targets


@pytest.mark.parametrize(
    ("name", "model"),
    [
        ("example_gradients", "kml.AdaptiveLossModel"),
        ("task_gradients", "kml.MetaModel"),
    ],
)
def test_missing_entry_names_the_model_that_supplies_it(name, model):
    keras_model = network()
    keras_model.compile("sgd", LossWithRequirements(name))
    with pytest.raises(ValueError, match=f"{name} .`{model}` supplies it"):
        keras_model.fit(*batch(), verbose=0)


def test_missing_entry_without_a_supplier():
    with pytest.raises(ValueError, match="task_similarity.*LossContext"):
        LossWithRequirements("task_similarity")([[0.0]], [[0.0]])


def test_meta_model_supplies_task_gradients_to_a_user_loss():
    received = []

    class Gradients(LossWithRequirements):
        def values(self, y_true, y_pred, context):
            received.append(context.task_gradients.shape)
            return super().values(y_true, y_pred, context)

    model, x, y, _ = meta(Gradients("task_gradients"))
    model.run_eagerly = True
    model.fit(x, y, verbose=0)
    # Two weights and a bias.
    assert set(map(tuple, received)) == {(1, 3)}


def test_mask_of_predictions_is_passed_to_values():
    received = []

    class Masked(kml.losses.MetaLoss):
        def values(self, y_true, y_pred, context):
            received.append(context.mask)
            return tf.reduce_mean(y_pred, axis=-1)

    y_pred = tf.constant([[1.0], [2.0], [6.0]])
    y_pred._keras_mask = tf.constant([True, True, False])
    assert float(Masked()(tf.zeros((3, 1)), y_pred)) == pytest.approx(1.5)
    np.testing.assert_array_equal(received[0], [True, True, False])


def test_output_kind_is_used_by_joint_models():
    loss = kml.losses.MutualInformationLoss(RampedError(), "mse")
    assert loss.output_kinds == {"a": "value", "b": "value"}
    focal = kml.losses.BinaryFocalLoss(from_logits=True)
    assert kml.losses.AdaLoss(focal).output_kind == "binary_logits"


def test_context_is_passed_to_nested_losses():
    class StepReader(kml.losses.MetaLoss):
        def values(self, y_true, y_pred, context):
            return tf.cast(context.step, y_pred.dtype) * tf.reduce_mean(y_pred, -1)

    loss = kml.losses.RapidGeneralizationLoss(StepReader(), None, 0.0)
    y_true, y_pred = np.zeros((2, 3, 1)), np.ones((2, 3, 1))
    context = kml.losses.LossContext(step=4)
    assert float(loss(y_true, y_pred, context=context)) == pytest.approx(4.0)
    # The inner loop of a `MetaModel` supplies the step too.
    model, x, y, _ = meta(StepReader(), inner_loss=None)
    assert np.isfinite(model.fit(x, y, epochs=2, verbose=0).history["loss"]).all()


def test_meta_model_rejects_losses_with_parameters():
    message = "without trainable parameters: `MetaModel` does not train them.*raw_alpha"
    robust = kml.losses.AdaptiveRobustLoss()
    with pytest.raises(ValueError, match=message):
        meta(robust)
    with pytest.raises(ValueError, match=message):
        meta(kml.losses.RapidGeneralizationLoss(robust))
    with pytest.raises(ValueError, match=message):
        kml.MetaModel(network(), kml.adaptation.MAML(loss=robust))
