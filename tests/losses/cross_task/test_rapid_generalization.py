"""`RapidGeneralizationLoss`: values, weights, gradients and training."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_metaloss as kml
from tests.helpers.cross_task import Y_PRED, Y_TRUE, plain_model, random_batch
from tests.helpers.joint_models import CROSS_ENTROPY
from tests.helpers.segmentation import IGNORING, partly_labeled_images


def test_rapid_generalization_supports_ignore_class():
    loss = keras.losses.SparseCategoricalCrossentropy(**IGNORING)
    variance = kml.losses.TaskLossVariance()
    model, x, y = partly_labeled_images(
        kml.losses.RapidGeneralizationLoss(loss, variance, 1e-9)
    )
    logits = model.predict(x, verbose=0)
    means = [CROSS_ENTROPY(y[i][y[i] != 255], logits[i][y[i] != 255]) for i in range(3)]
    assert model.evaluate(x, y, verbose=0) == pytest.approx(np.mean(means), rel=1e-5)


Loss = kml.losses.RapidGeneralizationLoss
Variance = kml.losses.TaskLossVariance
Similarity = kml.losses.TaskSimilarityLoss


@keras.saving.register_keras_serializable(package="tests")
def spread(task_losses, y_true, y_pred):
    return tf.reduce_max(task_losses) - tf.reduce_min(task_losses)


TERMS = {
    "variance": Variance(),
    "cosine": Similarity(),
    "laplacian": Similarity(task_similarity=np.ones((4, 4)) - np.eye(4)),
    "callable": spread,
}


def test_config_of_all_arguments():
    schedule = keras.optimizers.schedules.ExponentialDecay(0.5, 10, 0.9)
    loss = Loss("mse", Similarity(), schedule, name="mine", reduction="sum")
    restored = Loss.from_config(loss.get_config())
    assert restored.get_config() == loss.get_config()
    assert (restored.name, restored.reduction) == ("mine", "sum")
    assert isinstance(restored.inter_task_loss, Similarity)
    assert restored.lambda_weight.get_config() == schedule.get_config()


@pytest.mark.parametrize("term", TERMS)
def test_config_round_trip_keeps_the_value(term):
    loss = Loss(keras.losses.Huber(), TERMS[term], 0.3)
    restored = keras.saving.deserialize_keras_object(
        keras.saving.serialize_keras_object(loss)
    )
    assert float(restored(*random_batch())) == float(loss(*random_batch()))


def test_unweighted():
    assert float(Loss("mse", Variance(), 0.5)(Y_TRUE, Y_PRED)) == 3.0 + 0.5 * 4.0


def test_no_reduction_gives_one_value_per_task():
    loss = Loss("mse", Variance(), 0.5, reduction=None)
    np.testing.assert_allclose(loss(Y_TRUE, Y_PRED), [3.0, 7.0])
    np.testing.assert_allclose(loss.call(Y_TRUE, Y_PRED), [3.0, 7.0])


def test_sum_reduction():
    assert float(Loss("mse", Variance(), 0.5, reduction="sum")(Y_TRUE, Y_PRED)) == 10.0


def test_scalar_weighted():
    assert float(Loss("mse", Variance(), 0.5)(Y_TRUE, Y_PRED, 2.0)) == 10.0


def test_task_weighted():
    loss = Loss("mse", Variance(), 0.5)
    assert float(loss(Y_TRUE, Y_PRED, np.array([1.0, 0.0]))) == 1.5


def test_example_weighted():
    # The weighted task losses are 1 and 1, with no variance.
    weight = np.array([[1.0, 1.0], [2.0, 0.0]])
    assert float(Loss("mse", Variance(), 0.5)(Y_TRUE, Y_PRED, weight)) == 1.0


@pytest.mark.parametrize("mse", ["mse", keras.losses.MeanSquaredError()])
@pytest.mark.parametrize("term", [None, Variance()])
def test_targets_may_lack_the_last_axis_of_predictions(mse, term):
    random = np.random.default_rng(0)
    y_true, y_pred = random.normal(size=(2, 3, 4)).astype("float32")
    weight = random.uniform(size=(3, 4)).astype("float32")
    found = Loss(mse, term, 0.0)(y_true, y_pred[..., np.newaxis], weight)
    expected = np.mean(weight * (y_true - y_pred) ** 2)
    assert float(found) == pytest.approx(expected, rel=1e-5)


def test_task_weights_may_have_additional_axes():
    loss = Loss("mse", Variance(), 0.5)
    for weight in ([0.0, 1.0], [[0.0], [1.0]]):
        value = loss(Y_TRUE, Y_PRED, np.array(weight, "float32"))
        assert float(value) == (5.0 + 0.5 * 4.0) / 2
    similar = Loss("mse", Similarity(task_similarity=np.ones((2, 2))))
    value = similar(Y_TRUE, Y_PRED, np.ones((2, 1), "float32"))
    assert float(value) == float(similar(Y_TRUE, Y_PRED))


@pytest.mark.parametrize("weight", [0.0, 0.5])
def test_masked_examples_do_not_change_the_loss(weight):
    y_pred = tf.constant([[[1.0], [9.0]], [[1.0], [3.0]]])
    y_pred._keras_mask = tf.constant([[True, False], [True, True]])
    value = float(Loss("mse", Variance(), weight)(Y_TRUE, y_pred))
    if weight:  # task losses 1 and 5
        assert value == 3.0 + 0.5 * 4.0
    else:
        plain = keras.losses.MeanSquaredError()
        assert value == float(plain(Y_TRUE, y_pred)) == pytest.approx(11 / 3)


def test_zero_weighted():
    assert float(Loss("mse", Variance(), 0.5)(Y_TRUE, Y_PRED, 0.0)) == 0.0


@pytest.mark.parametrize("reduction", ["sum_over_batch_size", "sum", "mean"])
@pytest.mark.parametrize("inter", [None, Variance()])
def test_zero_lambda_is_bitwise_equal_to_the_intra_loss(reduction, inter):
    y_true, y_pred = random_batch(tasks=7, seed=3)
    intra = keras.losses.MeanSquaredError(reduction=reduction)
    loss = Loss(intra, inter, 0.0, reduction=reduction)
    assert float(loss(y_true, y_pred)) == float(intra(y_true, y_pred))


def test_schedule_with_zero_value_gives_finite_loss():
    schedule = keras.optimizers.schedules.PolynomialDecay(0.0, 10, 1.0)
    loss = Loss("mse", Variance(), schedule)
    intra = float(keras.losses.MeanSquaredError()(*random_batch()))
    assert float(loss(*random_batch())) == pytest.approx(intra, rel=1e-6)
    loss.set_step(10)
    expected = float(Loss("mse", Variance(), 1.0)(*random_batch()))
    assert float(loss(*random_batch())) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("term", ["variance", "cosine", "callable"])
def test_inter_task_term_of_one_task_is_zero(term):
    y_true, y_pred = (tf.constant(v) for v in random_batch(tasks=1))
    loss = Loss("mse", TERMS[term], 10.0)
    with tf.GradientTape() as tape:
        tape.watch(y_pred)
        value = loss(y_true, y_pred)
    gradient = tape.gradient(value, y_pred)
    np.testing.assert_allclose(value, np.mean((y_true - y_pred) ** 2), rtol=1e-6)
    np.testing.assert_allclose(gradient, 2 * (y_pred - y_true) / 15, rtol=1e-5)


@pytest.mark.parametrize("term", TERMS)
def test_loss_does_not_depend_on_task_order(term):
    y_true, y_pred = random_batch()
    order = np.array([3, 1, 0, 2])
    loss = Loss("mse", TERMS[term], 0.7)
    assert float(loss(y_true[order], y_pred[order])) == pytest.approx(
        float(loss(y_true, y_pred)), rel=1e-5
    )


def reference(term, y_true, y_pred):
    """Computes the inter-task term in NumPy."""
    losses = ((y_true - y_pred) ** 2).mean(axis=(1, 2))
    means = y_pred.mean(axis=1)
    pairs = [(i, j) for i in range(len(losses)) for j in range(len(losses)) if i != j]
    if term == "variance":
        return losses.var()
    if term == "callable":
        return losses.max() - losses.min()
    if term == "laplacian":
        return np.mean([((means[i] - means[j]) ** 2).sum() for i, j in pairs])
    unit = means / np.linalg.norm(means, axis=1, keepdims=True)
    return 1 - np.mean([unit[i] @ unit[j] for i, j in pairs])


@pytest.mark.parametrize("term", TERMS)
def test_value_and_gradient_match_numpy(term):
    y_true, y_pred = random_batch(dtype="float64")
    loss = Loss("mse", TERMS[term], 0.7, dtype="float64")

    def exact(prediction):
        intra = ((y_true - prediction) ** 2).mean()
        return intra + 0.7 * reference(term, y_true, prediction)

    tensor = tf.constant(y_pred)
    with tf.GradientTape() as tape:
        tape.watch(tensor)
        value = loss(y_true, tensor)
    assert float(value) == pytest.approx(exact(y_pred), rel=1e-9)
    gradient = tape.gradient(value, tensor).numpy()
    for index in [(0, 0, 0), (1, 4, 2), (3, 2, 1)]:
        step = np.zeros_like(y_pred)
        step[index] = 1e-6
        numeric = (exact(y_pred + step) - exact(y_pred - step)) / 2e-6
        assert gradient[index] == pytest.approx(numeric, rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("term", TERMS)
def test_eager_graph_and_xla_agree(term):
    y_true, y_pred = (tf.constant(v) for v in random_batch())
    loss = Loss("mse", TERMS[term], 0.7)
    expected = float(loss(y_true, y_pred))
    assert float(tf.function(loss)(y_true, y_pred)) == pytest.approx(expected, rel=1e-6)
    xla = tf.function(loss, jit_compile=True)
    assert float(xla(y_true, y_pred)) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("dtype", ["bfloat16", "float64"])
def test_loss_is_computed_in_its_dtype(dtype):
    loss = Loss("mse", Variance(), 0.5, dtype=dtype)
    value = loss(Y_TRUE, Y_PRED)
    assert value.dtype.name == dtype
    assert float(value) == 5.0


@pytest.mark.parametrize("jit_compile", [False, True])
def test_training_and_saving_in_a_keras_model(jit_compile, tmp_path):
    loss = Loss(keras.losses.MeanSquaredError(), Variance(), 0.5)
    model = plain_model(loss, jit_compile)
    x, y = random_batch(tasks=8)
    model.fit(x, y, batch_size=4, epochs=2, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert loaded.evaluate(x, y, verbose=0) == model.evaluate(x, y, verbose=0)
    assert loaded.train_on_batch(x, y) == model.train_on_batch(x, y)
    for a, b in zip(model.get_weights(), loaded.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("mse", None, -1.0), "`lambda_weight`.*lambda_weight=-1.0"),
        (("mse", None, True), "`lambda_weight`.*True"),
        (("mse", "variance"), "`inter_task_loss`.*'variance'"),
        ((3.0,), "`intra_task_loss`.*3.0"),
    ],
)
def test_invalid_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        Loss(*arguments)
