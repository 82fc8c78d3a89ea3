"""Focal losses as classes: special cases, axes and invalid inputs."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_metaloss as kml

Binary = kml.losses.BinaryFocalLoss
Categorical = kml.losses.CategoricalFocalLoss
Sparse = kml.losses.SparseCategoricalFocalLoss


def test_gamma_zero_is_cross_entropy():
    random = np.random.default_rng(0)
    logits = random.normal(size=(50, 7)) * 3
    labels = random.integers(0, 7, 50)
    hot, soft = np.eye(7)[labels], random.dirichlet(np.ones(7), 50)
    log_p = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    shared = {"gamma": 0.0, "from_logits": True, "dtype": "float64", "reduction": None}
    np.testing.assert_allclose(
        Sparse(**shared)(labels, logits), -log_p[np.arange(50), labels], rtol=1e-13
    )
    np.testing.assert_allclose(
        Categorical(**shared)(soft, logits), -(soft * log_p).sum(1), rtol=1e-13
    )
    p = 1 / (1 + np.exp(-logits))
    np.testing.assert_allclose(
        Binary(**shared)(hot, logits),
        -(hot * np.log(p) + (1 - hot) * np.log(1 - p)).mean(1),
        rtol=1e-12,
    )
    keras_loss = keras.losses.CategoricalCrossentropy(
        from_logits=True, label_smoothing=0.1
    )
    ours = Categorical(0.0, from_logits=True, label_smoothing=0.1)
    assert float(ours(soft, logits)) == pytest.approx(
        float(keras_loss(soft, logits)), rel=1e-6
    )


def test_loss_matches_keras_without_clipping():
    random = np.random.default_rng(0)
    y_true, p = np.eye(4)[random.integers(0, 4, 30)], random.dirichlet(np.ones(4), 30)
    alpha = [0.1, 0.5, 0.7, 0.2]
    assert float(Categorical(2.0, alpha)(y_true, p)) == pytest.approx(
        float(keras.losses.CategoricalFocalCrossentropy(alpha, 2.0)(y_true, p)),
        rel=1e-5,
    )
    theirs = keras.losses.BinaryFocalCrossentropy(True, alpha=0.25, gamma=2.0)
    assert float(Binary(2.0, 0.25)(y_true, p)) == pytest.approx(
        float(theirs(y_true, p)), rel=1e-5
    )


@pytest.mark.parametrize("axis", [-1, 1])
def test_class_axis_of_images(axis):
    random = np.random.default_rng(0)
    logits, labels = random.normal(size=(2, 3, 4, 5)), random.integers(0, 5, (2, 3, 4))
    expected = Sparse(from_logits=True, reduction=None)(labels, logits)
    assert expected.shape == (2, 3, 4)
    hot = np.eye(5)[labels]
    moved = [np.moveaxis(a, -1, axis) for a in (logits, hot)]
    arguments = {"from_logits": True, "axis": axis, "reduction": None}
    np.testing.assert_allclose(
        Categorical(**arguments)(moved[1], moved[0]), expected, rtol=1e-5
    )
    np.testing.assert_allclose(
        Sparse(**arguments)(labels, moved[0]), expected, rtol=1e-6
    )
    np.testing.assert_allclose(
        Sparse(**arguments)(np.expand_dims(labels, axis), moved[0]), expected, rtol=1e-6
    )


def test_bfloat16_keeps_integer_labels_above_256():
    logits = np.zeros((1, 1000), "float32")
    logits[0, 999] = 8.0
    loss = Sparse(0.0, from_logits=True, dtype="bfloat16")
    expected = np.log(999 + np.exp(8.0)) - 8.0
    assert float(loss(np.array([999]), logits)) == pytest.approx(expected, rel=0.01)


@pytest.mark.parametrize(
    ("cls", "arguments", "message"),
    [
        (Binary, {"gamma": -1.0}, "`gamma`.*gamma=-1.0"),
        (Sparse, {"gamma": True}, "`gamma`.*True"),
        (Categorical, {"gamma": "auto"}, "`gamma`.*'auto'"),
        (Binary, {"alpha": 1.5}, "`alpha`.*alpha=1.5"),
        (Sparse, {"alpha": [[1.0]]}, "`alpha`"),
        (Sparse, {"alpha": "balanced"}, "`alpha`.*'balanced'"),
        (Categorical, {"label_smoothing": 2.0}, "`label_smoothing`.*2.0"),
    ],
)
def test_invalid_arguments_raise(cls, arguments, message):
    with pytest.raises(ValueError, match=message):
        cls(**arguments)


@pytest.mark.parametrize("jit_compile", [False, True])
@pytest.mark.parametrize("sparse", [False, True])
def test_alpha_must_match_the_number_of_classes(sparse, jit_compile):
    kind = "Sparse" if sparse else ""
    loss = getattr(kml.losses, f"{kind}CategoricalFocalLoss")(alpha=[0.3, 0.7])
    y = np.zeros(4, "int32") if sparse else np.eye(5, dtype="float32")[:4]
    with pytest.raises(ValueError, match="`alpha`.*5 classes"):
        tf.function(loss, jit_compile=jit_compile)(y, tf.ones([4, 5]) / 5)


@pytest.mark.parametrize("run_eagerly", [False, True])
@pytest.mark.parametrize(
    ("cls", "activation"),
    [(Sparse, "softmax"), (Categorical, "softmax"), (Binary, "sigmoid")],
)
def test_probabilities_with_from_logits_warn(cls, activation, run_eagerly):
    model = keras.Sequential(
        [keras.Input((3,)), keras.layers.Dense(2, activation=activation)]
    )
    x, y = np.ones((4, 3)), np.zeros(4) if cls is Sparse else np.eye(2)[[0, 1, 1, 0]]
    model.compile("sgd", cls(from_logits=True), run_eagerly=run_eagerly)
    with pytest.warns(UserWarning, match="received probabilities"):
        model.train_on_batch(x, y)
    model.compile("sgd", cls(), run_eagerly=run_eagerly)
    assert np.isfinite(model.train_on_batch(x, y))


def test_mismatched_target_shapes_raise():
    for cls in (kml.losses.CategoricalFocalLoss, kml.losses.BinaryFocalLoss):
        with pytest.raises(ValueError, match="`y_true`.*same shape as `y_pred`"):
            cls()(np.ones((4, 1)), np.ones((4, 5)) / 5)
    for labels, probabilities in (
        (np.ones((4, 5)), np.ones((4, 5)) / 5),
        (np.ones(4), np.ones((4, 4, 5)) / 5),  # these would broadcast
        (np.ones((4, 4, 1)), np.ones((4, 5)) / 5),
    ):
        with pytest.raises(ValueError, match=r"integer labels.*\(4, .*5\)"):
            kml.losses.SparseCategoricalFocalLoss()(labels, probabilities)


@pytest.mark.parametrize("axis", [3, -4, "x"])
def test_invalid_axis_raises(axis):
    with pytest.raises(ValueError, match="`axis`.*rank 3"):
        kml.losses.CategoricalFocalLoss(axis=axis)(
            np.ones((2, 4, 5)), np.ones((2, 4, 5))
        )


def test_label_beyond_int32_is_out_of_range():
    loss = kml.losses.SparseCategoricalFocalLoss(from_logits=True)
    compiled = tf.function(loss, jit_compile=True)
    assert np.isnan(compiled(tf.constant([2**32]), tf.zeros([1, 3])))


@pytest.mark.parametrize("label", [-1, 3])
@pytest.mark.parametrize("label_smoothing", [0.0, 0.1])
def test_out_of_range_label_gives_nan_or_raises(label, label_smoothing):
    loss = kml.losses.SparseCategoricalFocalLoss(
        from_logits=True, label_smoothing=label_smoothing, reduction=None
    )
    compiled = tf.function(loss, jit_compile=True)
    values = compiled(tf.constant([label, 2]), tf.zeros([2, 3])).numpy()
    assert np.isnan(values[0]) and np.isfinite(values[1])
    try:
        assert np.isnan(loss(tf.constant([label, 2]), tf.zeros([2, 3]))[0])
    except tf.errors.InvalidArgumentError:
        pass
