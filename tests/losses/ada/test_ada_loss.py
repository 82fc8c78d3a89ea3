"""`AdaLoss`: weights, statistics and gradients of predictions."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_metaloss as kml
from tests.helpers.adaptive_loss_models import linear_network, regression_data
from tests.helpers.segmentation import IGNORING, partly_labeled_images


@pytest.mark.parametrize("shape", [(4,), (4, 3), (4, 3, 2)])
def test_masks_of_any_rank_exclude_statistics(shape):
    """Masks of one or more leading axes exclude values from the statistics."""
    y_pred = tf.constant(np.random.default_rng(0).normal(size=(4, 3, 2, 5)))
    mask = np.arange(np.prod(shape)).reshape(shape) % 3 > 0
    loss = kml.losses.AdaLoss("mse", alpha="standardized", dtype="float64")
    context = kml.losses.LossContext(mask=tf.constant(mask))
    _, statistics = loss._values_and_statistics(tf.zeros_like(y_pred), y_pred, context)
    alphas = loss.alphas(statistics).numpy()
    kept = alphas[
        np.broadcast_to(mask.reshape(shape + (1,) * (3 - len(shape))), (4, 3, 2))
    ]
    assert (kept.mean(), kept.std()) == pytest.approx((0.0, 1.0), abs=1e-12)


def test_ada_loss_supports_ignore_class():
    loss = keras.losses.SparseCategoricalCrossentropy(**IGNORING)
    changes = []
    for each in (loss, kml.losses.AdaLoss(loss, alpha=tf.zeros_like)):
        model, x, y = partly_labeled_images(each)
        before = model.get_weights()[0]
        model.fit(x, y, batch_size=3, verbose=0)
        changes.append(model.get_weights()[0] - before)
    np.testing.assert_allclose(0.5 * changes[0], changes[1], rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("alpha", ["standardized", "cosine"])
def test_ignored_classes_do_not_affect_the_statistics(alpha):
    """The result is the same as without the ignored examples."""
    random = np.random.default_rng(0)
    logits = random.normal(size=(8, 5)).astype("float32")
    labels = np.array([0, 255, 1, 2, 255, 3, 4, 0])
    kept = labels != 255
    loss = keras.losses.SparseCategoricalCrossentropy
    found = kml.losses.AdaLoss(loss(**IGNORING), alpha=alpha)(labels, logits)
    expected = kml.losses.AdaLoss(loss(from_logits=True), alpha=alpha)
    assert float(found) == pytest.approx(
        float(expected(labels[kept], logits[kept])), rel=1e-5
    )


@pytest.mark.parametrize("loss", ["mse", keras.losses.MeanAbsoluteError()])
def test_predictions_without_a_feature_axis(loss):
    """Each entry of predictions of shape `[B]` is one example."""
    y_true, y_pred = np.random.default_rng(0).normal(size=(2, 6))
    found = kml.losses.AdaLoss(loss, reduction=None)(y_true, y_pred)
    expected = kml.losses.AdaLoss(loss, reduction=None)(
        y_true[:, None], y_pred[:, None]
    )
    np.testing.assert_allclose(found, expected, rtol=1e-6)


AdaLoss = kml.losses.AdaLoss


def test_direction_flips_alpha_and_alpha_may_be_a_function():
    x, y = regression_data()
    pred = np.zeros_like(y)
    hard, easy = (
        AdaLoss("mse", direction=d, reduction=None)(y, pred).numpy()
        for d in ("hard", "easy")
    )
    np.testing.assert_allclose(hard + easy, (y**2).mean(axis=1), rtol=1e-5)
    twice = AdaLoss("mse", alpha=lambda norms: 2.0 * norms - 1.0, reduction=None)
    norms = np.linalg.norm(y, axis=1)
    np.testing.assert_allclose(
        twice(y, pred), (y**2).mean(axis=1) / (1 + np.exp(1 - 2 * norms)), rtol=1e-5
    )


def test_equal_norms_get_equal_standardized_weights():
    loss = AdaLoss("mae", alpha="standardized", reduction=None)
    values = loss(np.zeros((4, 1)), np.array([[1.0], [2.0], [0.1], [3.0]]))
    np.testing.assert_allclose(values, [0.5, 1.0, 0.05, 1.5], rtol=1e-6)


def test_gradient_of_a_perfect_batch_is_finite():
    y_pred = tf.zeros((3, 2))
    for alpha in ("norm", "standardized", "cosine"):
        with tf.GradientTape() as tape:
            tape.watch(y_pred)
            value = AdaLoss("mse", alpha=alpha)(np.zeros((3, 2)), y_pred)
        assert float(value) == 0.0
        assert not tape.gradient(value, y_pred).numpy().any()


def test_plain_model_supports_output_gradients_only():
    x, y = regression_data()
    plain = linear_network()
    plain.compile(optimizer="sgd", loss=AdaLoss("mse"))
    assert np.isfinite(plain.fit(x, y, verbose=0).history["loss"][0])
    for gradient in ("last_layer", "parameters"):
        plain.compile(optimizer="sgd", loss=AdaLoss("mse", gradient=gradient))
        with pytest.raises(ValueError, match="kml.AdaptiveLossModel"):
            plain.fit(x, y, verbose=0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"loss": 3.0}, "`loss`.*3.0"),
        ({"loss": "mse", "gradient": "all"}, "`gradient`.*'all'"),
        ({"loss": "mse", "alpha": "softmax"}, "`alpha`.*'softmax'"),
        ({"loss": "mse", "direction": "up"}, "`direction`.*'up'"),
        ({"loss": "mse", "chunk_size": 0}, "`chunk_size`.*0"),
    ],
)
def test_invalid_arguments_raise(arguments, message):
    with pytest.raises(ValueError, match=message):
        AdaLoss(**arguments)
    scalar = AdaLoss(lambda y_true, y_pred: tf.reduce_mean(y_pred))
    with pytest.raises(ValueError, match="`loss`.*one value per example"):
        scalar(np.zeros((2, 1)), np.zeros((2, 1)))


@pytest.mark.parametrize("mode", ["graph", "eager", "xla"])
@pytest.mark.parametrize("by_name", [True, False])
@pytest.mark.parametrize(
    ("cls", "activation"),
    [
        (keras.losses.SparseCategoricalCrossentropy, "softmax"),
        (keras.losses.CategoricalCrossentropy, "softmax"),
        (keras.losses.BinaryCrossentropy, "sigmoid"),
        (keras.losses.BinaryFocalCrossentropy, "sigmoid"),
    ],
)
def test_losses_that_use_logits_of_the_activation(cls, activation, by_name, mode):
    """Keras computes these losses from the inputs of the activation."""
    x = np.random.default_rng(0).normal(size=(8, 3))
    sparse = cls is keras.losses.SparseCategoricalCrossentropy
    y = np.arange(8) % 2 if sparse else np.eye(2)[np.arange(8) % 2]
    half = AdaLoss(cls().name if by_name else cls(), alpha=tf.zeros_like)
    changes = []
    for loss in (cls(), half):
        keras.utils.set_random_seed(0)
        model = linear_network(activation)
        model.compile(
            keras.optimizers.SGD(1.0),
            loss,
            run_eagerly=mode == "eager",
            jit_compile=mode == "xla",
        )
        before = model.get_weights()[0]
        model.fit(x, y, batch_size=8, verbose=0)
        changes.append(model.get_weights()[0] - before)
    # Each weight is sigmoid(0).
    np.testing.assert_allclose(0.5 * changes[0], changes[1], rtol=1e-5, atol=1e-7)
    assert np.abs(changes[1]).max() > 1e-3


def test_probabilities_with_from_logits_warn_as_in_keras():
    model = linear_network("softmax")
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("sgd", AdaLoss(loss))
    with pytest.warns(UserWarning, match="does not represent logits"):
        model.train_on_batch(np.ones((4, 3)), np.zeros(4))


@pytest.mark.parametrize("loss", ["mse", "mae", keras.losses.MeanSquaredError()])
def test_time_steps_without_a_prediction_axis(loss):
    y, y_pred = np.random.default_rng(0).normal(size=(2, 3, 5))
    values = AdaLoss(loss, reduction=None)(y, y_pred[..., np.newaxis])
    np.testing.assert_allclose(
        values, AdaLoss(loss, reduction=None)(y[..., np.newaxis], y_pred[..., None])
    )
    assert values.shape == (3, 5)


def test_integer_labels_stay_exact_in_bfloat16():
    logits = tf.one_hot([257, 999], 1000) * 20.0
    loss = AdaLoss(
        keras.losses.SparseCategoricalCrossentropy(from_logits=True), dtype="bfloat16"
    )
    assert float(loss(np.array([257, 999]), logits)) < 0.01
    assert float(loss(np.array([256, 998]), logits)) > 5


class TestOnePassForValueAndGradient:
    """Values and gradients from one pass have the derivatives of two passes."""

    random = np.random.default_rng(0)
    hot = tf.one_hot(random.integers(0, 4, 6), 4)
    logits = tf.constant(random.normal(size=(6, 4)), "float32")

    def two_pass(self, function, logits):
        with tf.GradientTape() as tape:
            tape.watch(logits)
            values = function(self.hot, logits)
        norms = tf.norm(tape.gradient(values, logits), axis=-1)
        return tf.reduce_mean(tf.stop_gradient(tf.sigmoid(norms)) * values)

    @pytest.mark.parametrize("jit_compile", [False, True])
    def test_gradients_of_variables_of_the_loss(self, jit_compile):
        factor = tf.Variable(2.0)

        def function(y_true, y_pred):
            return factor * tf.reduce_mean(tf.square(y_true - y_pred), axis=-1)

        loss = AdaLoss(function)

        @tf.function(jit_compile=jit_compile)
        def slopes(total):
            with tf.GradientTape() as tape:
                tape.watch(self.logits)
                value = total(self.logits)
            return tape.gradient(value, [self.logits, factor])

        ours = slopes(lambda logits: loss(self.hot, logits))
        exact = slopes(lambda logits: self.two_pass(function, logits))
        for own, other in zip(ours, exact, strict=True):
            np.testing.assert_allclose(own, other, rtol=1e-5, atol=1e-7)

    @pytest.mark.parametrize("jit_compile", [False, True])
    def test_gradients_of_captured_tensors(self, jit_compile):
        @tf.function(jit_compile=jit_compile)
        def slope(factor):
            def function(y_true, y_pred):
                return factor * tf.reduce_sum(tf.square(y_true - y_pred), axis=-1)

            with tf.GradientTape(persistent=True) as tape:
                tape.watch(factor)
                ours = AdaLoss(function)(self.hot, self.logits)
                exact = self.two_pass(function, self.logits)
            return tape.gradient(ours, factor), tape.gradient(exact, factor)

        ours, exact = slope(tf.constant(3.0))
        assert float(ours) == pytest.approx(float(exact), rel=1e-5)

    @pytest.mark.parametrize("name", ["TripletLoss", "NPairLoss", "ContrastiveLoss"])
    def test_losses_across_the_batch(self, name):
        loss = getattr(kml.losses, name)()
        labels = tf.constant([0, 0, 1, 1, 2, 2])
        slopes = []
        for reduced in (
            lambda y: AdaLoss(loss)(labels, y),
            lambda y: self.two_pass(lambda _, z: loss.call(labels, z), y),
        ):
            with tf.GradientTape() as tape:
                tape.watch(self.logits)
                value = reduced(self.logits)
            slopes.append(tape.gradient(value, self.logits))
        np.testing.assert_allclose(*slopes, rtol=1e-5, atol=1e-7)

    @pytest.mark.parametrize("sparse", [False, True])
    def test_second_derivatives(self, sparse):
        function = keras.losses.CategoricalCrossentropy(
            from_logits=True, reduction=None
        )
        if sparse:
            loss = AdaLoss(keras.losses.SparseCategoricalCrossentropy(from_logits=True))
            targets = tf.argmax(self.hot, axis=-1)
        else:
            loss, targets = AdaLoss(function), self.hot

        def curvature(total):
            with tf.GradientTape() as outer:
                outer.watch(self.logits)
                with tf.GradientTape() as inner:
                    inner.watch(self.logits)
                    value = total(self.logits)
                slope = inner.gradient(value, self.logits)
                length = tf.reduce_sum(tf.square(slope))
            return outer.gradient(length, self.logits)

        ours = curvature(lambda logits: loss(targets, logits))
        exact = curvature(lambda logits: self.two_pass(function, logits))
        np.testing.assert_allclose(ours, exact, rtol=1e-5, atol=1e-7)

    def test_gradients_of_targets(self):
        targets = tf.nn.softmax(self.logits)
        loss = AdaLoss("mse")
        with tf.GradientTape() as tape:
            tape.watch(targets)
            value = loss(targets, self.hot)
        slope = tape.gradient(value, targets)
        swapped = tf.constant(self.hot)
        with tf.GradientTape() as tape:
            tape.watch(swapped)
            value = loss(targets, swapped)
        np.testing.assert_allclose(slope, -tape.gradient(value, swapped), rtol=1e-5)

    def test_class_axis_other_than_the_last(self):
        hot = tf.one_hot(self.random.integers(0, 3, (2, 5)), 3)
        logits = tf.constant(self.random.uniform(size=(2, 5, 3)), "float32")
        turned = [tf.transpose(values, [0, 2, 1]) for values in (hot, logits)]
        for cls in (
            keras.losses.CategoricalCrossentropy,
            keras.losses.CosineSimilarity,
            kml.losses.BinaryFocalLoss,
        ):
            options = {"alpha": "cosine", "reduction": None}
            values = AdaLoss(cls(axis=1), **options)(*turned)
            expected = AdaLoss(cls(axis=-1), **options)(hot, logits)
            np.testing.assert_allclose(values, expected, rtol=1e-5)

    def test_half_precision_is_preserved(self):
        y = tf.cast(self.hot, "bfloat16")
        assert kml.losses.ada_loss(y, tf.zeros_like(y), "mse").dtype == tf.bfloat16
