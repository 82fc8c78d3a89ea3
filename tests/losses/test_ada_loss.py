"""Tests of `AdaLoss` against exact per-example gradients."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_metaloss as kml

AdaLoss = kml.losses.AdaLoss


def data(count=7, seed=0):
    random = np.random.default_rng(seed)
    x = random.normal(size=(count, 3)).astype("float32")
    return x, random.normal(size=(count, 2)).astype("float32")


def linear(activation=None):
    return keras.Sequential(
        [keras.Input((3,)), keras.layers.Dense(2, activation=activation)]
    )


def network(dropout=0.0):
    return keras.Sequential(
        [
            keras.Input((3,)),
            keras.layers.Dense(4, "tanh"),
            keras.layers.BatchNormalization(),
            keras.layers.Dropout(dropout),
            keras.layers.Dense(2, "tanh"),
        ]
    )


def gradients_one_by_one(model, x, y, variables):
    """Computes the flat gradient of each example's squared error in a loop."""
    rows = []
    for i in range(len(x)):
        with tf.GradientTape() as tape:
            error = y[i : i + 1] - model(x[i : i + 1], training=False)
            value = tf.reduce_mean(tf.square(error))
        found = tape.gradient(value, variables)
        rows.append(np.concatenate([np.asarray(g).ravel() for g in found]))
    return np.array(rows)


def expected_loss(model, x, y, rows, alpha="norm", sign=1.0):
    norms = np.linalg.norm(rows, axis=1)
    mean = rows.mean(axis=0)
    alphas = {
        "norm": norms,
        "standardized": (norms - norms.mean()) / norms.std(),
        "cosine": rows @ mean / norms / np.linalg.norm(mean),
    }[alpha]
    losses = ((y - model.predict(x, verbose=0)) ** 2).mean(axis=1)
    return (losses / (1 + np.exp(-sign * alphas))).mean()


def compiled(inner, **arguments):
    model = kml.AdaptiveLossModel(inner)
    jit_compile = arguments.pop("jit_compile", False)
    model.compile(
        optimizer=keras.optimizers.SGD(0.1),
        loss=AdaLoss(keras.losses.MeanSquaredError(), **arguments),
        jit_compile=jit_compile,
    )
    return model


@pytest.mark.parametrize("alpha", ["norm", "standardized", "cosine"])
def test_parameter_gradients_of_a_linear_model_in_closed_form(alpha):
    x, y = data()
    model = compiled(linear(), gradient="parameters", alpha=alpha, chunk_size=3)
    error = model.predict(x, verbose=0) - y  # dL/dz of the mean over two outputs
    rows = (
        np.concatenate([x, np.ones((len(x), 1))], axis=1)[:, :, None] * error[:, None]
    )
    expected = expected_loss(model, x, y, rows.reshape(len(x), -1), alpha)
    assert model.evaluate(x, y, batch_size=7, verbose=0) == pytest.approx(
        expected, rel=1e-5
    )


@pytest.mark.parametrize("alpha", ["standardized", "cosine"])
@pytest.mark.parametrize("chunk_size", [1, 4, 7, 32])
def test_parameter_gradients_of_a_network(alpha, chunk_size):
    x, y = data()
    model = compiled(
        network(), gradient="parameters", alpha=alpha, chunk_size=chunk_size
    )
    rows = gradients_one_by_one(model.model, x, y, model.model.trainable_variables)
    expected = expected_loss(model, x, y, rows, alpha)
    assert model.evaluate(x, y, batch_size=7, verbose=0) == pytest.approx(
        expected, rel=1e-5
    )


@pytest.mark.parametrize("alpha", ["norm", "cosine"])
@pytest.mark.parametrize("steps", [False, True])
def test_last_layer_gradients(alpha, steps):
    x, y = data()
    inner = network()
    if steps:
        random = np.random.default_rng(3)
        x = random.normal(size=(5, 4, 3)).astype("float32")
        y = random.normal(size=(5, 4, 2)).astype("float32")
        inner = keras.Sequential(
            [
                keras.Input((4, 3)),
                keras.layers.Dense(4, "tanh"),
                keras.layers.Dense(2, use_bias=False),
            ]
        )
    model = compiled(inner, gradient="last_layer", alpha=alpha)
    rows = gradients_one_by_one(inner, x, y, inner.layers[-1].trainable_variables)
    losses = ((y - model.predict(x, verbose=0)) ** 2).reshape(len(x), -1).mean(axis=1)
    norms, mean = np.linalg.norm(rows, axis=1), rows.mean(axis=0)
    cosines = rows @ mean / norms / np.linalg.norm(mean)
    weight = 1 / (1 + np.exp(-(norms if alpha == "norm" else cosines)))
    assert model.evaluate(x, y, batch_size=7, verbose=0) == pytest.approx(
        (weight * losses).mean(), rel=1e-5
    )


@pytest.mark.parametrize("gradient", ["output", "last_layer", "parameters"])
@pytest.mark.parametrize("jit_compile", [False, True])
def test_weights_are_constants_in_the_gradient(gradient, jit_compile):
    x, y = data()
    model = compiled(linear(), gradient=gradient, jit_compile=jit_compile)
    before = [w.copy() for w in model.get_weights()]
    error = model.predict(x, verbose=0) - y
    if gradient == "output":
        norms = np.linalg.norm(error, axis=1)
    else:
        norms = np.linalg.norm(error, axis=1) * np.sqrt((x**2).sum(axis=1) + 1)
    weighted = error / (1 + np.exp(-norms))[:, None] / len(x)
    model.train_on_batch(x, y)
    kernel, bias = model.get_weights()
    np.testing.assert_allclose(before[0] - kernel, 0.1 * x.T @ weighted, rtol=2e-4)
    np.testing.assert_allclose(before[1] - bias, 0.1 * weighted.sum(axis=0), rtol=2e-4)


def test_direction_flips_alpha_and_alpha_may_be_a_function():
    x, y = data()
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


@pytest.mark.parametrize("gradient", ["last_layer", "parameters"])
def test_model_trains_and_reloads(gradient, tmp_path):
    x, y = data(32)
    model = compiled(
        network(dropout=0.3), gradient=gradient, alpha="standardized", direction="easy"
    )
    losses = model.fit(x, y, batch_size=8, epochs=5, verbose=0).history["loss"]
    assert losses[-1] < losses[0]
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert loaded.evaluate(x, y, verbose=0) == model.evaluate(x, y, verbose=0)


def test_plain_model_supports_output_gradients_only():
    x, y = data()
    plain = linear()
    plain.compile(optimizer="sgd", loss=AdaLoss("mse"))
    assert np.isfinite(plain.fit(x, y, verbose=0).history["loss"][0])
    for gradient in ("last_layer", "parameters"):
        plain.compile(optimizer="sgd", loss=AdaLoss("mse", gradient=gradient))
        with pytest.raises(ValueError, match="kml.AdaptiveLossModel"):
            plain.fit(x, y, verbose=0)


def test_parameters_of_the_wrapped_loss_are_trained():
    x, y = data(32)
    model = kml.AdaptiveLossModel(linear())
    loss = AdaLoss(kml.losses.AdaptiveRobustLoss(), gradient="parameters")
    model.compile(optimizer=keras.optimizers.Adam(0.05), loss=loss)
    model.fit(x, y, verbose=0)
    assert loss.loss.scale != pytest.approx(1.0, abs=1e-3)


def test_recurrent_layers_must_be_unrolled():
    x = np.random.default_rng(0).normal(size=(8, 5, 3)).astype("float32")
    for unroll in (False, True):
        network = keras.Sequential(
            [keras.Input((5, 3)), keras.layers.LSTM(4, unroll=unroll)]
        )
        model = kml.AdaptiveLossModel(network)
        model.compile(loss=AdaLoss("mse", gradient="parameters"))
        if unroll:
            history = model.fit(x, x[:, 0, :1], verbose=0).history
            assert np.isfinite(history["loss"]).all()
        else:
            with pytest.raises(ValueError, match="`unroll=True`.*lstm"):
                model.fit(x, x[:, 0, :1], verbose=0)


def test_unsupported_networks_raise():
    inputs = keras.Input((3,))
    heads = [keras.layers.Dense(2)(inputs), keras.layers.Dense(2)(inputs)]
    model = kml.AdaptiveLossModel(keras.Model(inputs, heads))
    model.compile(loss=[AdaLoss("mse", gradient="parameters"), "mse"])
    x, y = data()
    with pytest.raises(ValueError, match="one output.*2 outputs"):
        model.fit(x, [y, y], verbose=0)
    inner = keras.Sequential([linear(), keras.layers.BatchNormalization()])
    with pytest.raises(ValueError, match="`Dense` layer as the last"):
        compiled(inner, gradient="last_layer").fit(x, y, verbose=0)


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


@pytest.mark.parametrize("gradient", ["output", "last_layer", "parameters"])
@pytest.mark.parametrize("run_eagerly", [False, True])
def test_added_losses_of_layers_are_included(gradient, run_eagerly):
    class Penalty(keras.layers.Layer):
        def call(self, x):
            self.add_loss(100.0 + 0.0 * tf.reduce_mean(x))
            return x

    plain = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    added = keras.Sequential([keras.Input((3,)), Penalty(), *plain.layers])
    losses = []
    for layers in (plain, added):
        model = kml.AdaptiveLossModel(layers)
        loss = AdaLoss("mse", gradient=gradient)
        model.compile(keras.optimizers.SGD(0.0), loss, run_eagerly=run_eagerly)
        x, y = np.ones((4, 3)), np.ones((4, 2))
        losses.append([model.train_on_batch(x, y), model.test_on_batch(x, y)])
    np.testing.assert_allclose(np.array(losses[0]) + 100.0, losses[1], rtol=1e-5)


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
        model = linear(activation)
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
    model = linear("softmax")
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
