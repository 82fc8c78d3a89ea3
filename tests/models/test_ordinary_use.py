"""Common Keras usage of the models of the package, compared with plain Keras."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_metaloss as kml
from tests.helpers import joint_models, multi_task_models
from tests.helpers.meta_models import dense_learner, line_episodes

CROSS_ENTROPY = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


@pytest.fixture
def policy(request):
    before = keras.mixed_precision.dtype_policy()
    keras.mixed_precision.set_dtype_policy(request.param)
    yield
    keras.mixed_precision.set_dtype_policy(before)


def embedding_network(units=1):
    """Returns a network that embeds integer IDs."""
    inputs = keras.Input((1,))
    found = keras.layers.Flatten()(keras.layers.Embedding(4100, 4)(inputs))
    return keras.Model(inputs, keras.layers.Dense(units, dtype="float32")(found))


@pytest.mark.parametrize(
    "wrap",
    [
        kml.AdaptiveLossModel,
        lambda network: kml.MultiTaskModel(
            keras.Model(network.input, {"a": network.output, "b": network.output})
        ),
        lambda network: kml.JointModel(network, embedding_network()),
    ],
    ids=["adaptive", "multi_task", "joint"],
)
@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"], indirect=True)
@pytest.mark.usefixtures("policy")
def test_integer_ids_are_not_rounded(wrap):
    network = embedding_network()
    x = np.array([[4001.0], [4003.0]], "float32")
    wrapped = keras.tree.flatten(wrap(network).predict(x, verbose=0))[0]
    np.testing.assert_array_equal(wrapped, network.predict(x, verbose=0))


def sequences(loss, wrap=kml.AdaptiveLossModel):
    keras.utils.set_random_seed(0)
    network = keras.Sequential(
        [
            keras.Input((None,)),
            keras.layers.Embedding(20, 4, mask_zero=True),
            keras.layers.Dense(3),
        ]
    )
    model = wrap(network)
    model.compile(keras.optimizers.SGD(0.1), loss)
    return model


@pytest.mark.parametrize(
    ("gradient", "alpha"),
    [
        ("output", "norm"),
        ("output", "standardized"),
        ("output", "cosine"),
        ("last_layer", "standardized"),
        ("last_layer", "cosine"),
        ("parameters", "standardized"),
        ("parameters", "cosine"),
    ],
)
@pytest.mark.parametrize("kind", ["classes", "values"])
def test_padding_does_not_change_the_loss(gradient, alpha, kind):
    random = np.random.default_rng(0)
    x = random.integers(1, 20, (6, 5))
    x[0, 3:] = 0
    if kind == "classes":
        loss, y = CROSS_ENTROPY, random.integers(0, 3, (6, 5))
    else:
        loss, y = keras.losses.MeanSquaredError(), random.normal(size=(6, 5, 3))
    model = sequences(kml.losses.AdaLoss(loss, gradient, alpha))
    values = []
    for length in (0, 7):
        padding = [(0, 0), (0, length)]
        longer = np.pad(y, padding + [(0, 0)] * (y.ndim - 2), constant_values=2)
        values.append(model.evaluate(np.pad(x, padding), longer, verbose=0))
    assert values[1] == pytest.approx(values[0], rel=1e-5)


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


def images(loss):
    random = np.random.default_rng(0)
    x, y = random.normal(size=(3, 4, 4, 2)), random.integers(0, 4, (3, 4, 4))
    y[:, :2] = 255
    y[0, :3] = 255
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((4, 4, 2)), keras.layers.Conv2D(4, 1)])
    model.compile(keras.optimizers.SGD(1.0), loss)
    return model, x, y


IGNORING = {"from_logits": True, "ignore_class": 255}


def test_ada_loss_supports_ignore_class():
    loss = keras.losses.SparseCategoricalCrossentropy(**IGNORING)
    changes = []
    for each in (loss, kml.losses.AdaLoss(loss, alpha=tf.zeros_like)):
        model, x, y = images(each)
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


def test_rapid_generalization_supports_ignore_class():
    loss = keras.losses.SparseCategoricalCrossentropy(**IGNORING)
    variance = kml.losses.TaskLossVariance()
    model, x, y = images(kml.losses.RapidGeneralizationLoss(loss, variance, 1e-9))
    logits = model.predict(x, verbose=0)
    means = [CROSS_ENTROPY(y[i][y[i] != 255], logits[i][y[i] != 255]) for i in range(3)]
    assert model.evaluate(x, y, verbose=0) == pytest.approx(np.mean(means), rel=1e-5)


def test_mutual_information_loss_supports_ignore_class():
    loss = keras.losses.SparseCategoricalCrossentropy(**IGNORING)
    random = np.random.default_rng(0)
    logits, labels = random.normal(size=(6, 3)), np.array([0, 255, 1, 2, 255, 1])
    joint = kml.losses.MutualInformationLoss(loss, "mse", beta=0.0)
    value = joint.compute_terms(
        {"a": labels, "b": np.zeros(6)},
        {"a": tf.constant(logits), "b": tf.zeros((6, 1))},
    ).losses["a"]
    kept = labels != 255
    expected = CROSS_ENTROPY(labels[kept], logits[kept])
    assert float(value.mean) == pytest.approx(float(expected), rel=1e-5)


def frozen(name):
    if name == "meta":
        model = kml.MetaModel(dense_learner(), kml.adaptation.MAML(1, 0.1))
        loss, data = "mse", line_episodes()
    elif name == "joint":
        model = kml.JointModel(joint_models.network(1), joint_models.network(2))
        loss = kml.losses.MutualInformationLoss("mse", "mse", beta=0.0)
        data = joint_models.data("value", "vector")
    else:
        model = kml.MultiTaskModel(multi_task_models.network())
        loss, data = multi_task_models.losses(), multi_task_models.batch()
    model.trainable = False
    model.compile("sgd", loss)
    return model, *data


@pytest.mark.parametrize("name", ["meta", "joint", "multi_task"])
def test_frozen_model_warns_and_keeps_its_weights(name):
    model, x, y = frozen(name)
    before = [w for w in model.get_weights() if w.ndim == 2]
    with pytest.warns(UserWarning, match="does not have any trainable weights"):
        history = model.fit(x, y, verbose=0).history
    assert np.isfinite(history["loss"]).all()
    after = [w for w in model.get_weights() if w.ndim == 2]
    for one, other in zip(before, after, strict=True):
        np.testing.assert_array_equal(one, other)


def test_frozen_network_has_zero_gradients():
    model = sequences(kml.losses.AdaLoss(CROSS_ENTROPY, "parameters"))
    x, y = np.ones((4, 3), int), np.zeros((4, 3), int)
    expected = 0.5 * sequences(CROSS_ENTROPY).evaluate(x, y, verbose=0)
    model.trainable = False
    assert model.evaluate(x, y, verbose=0) == pytest.approx(expected, rel=1e-6)


def test_freezing_the_last_layer_does_not_change_the_loss():
    model = sequences(kml.losses.AdaLoss(CROSS_ENTROPY, "last_layer"))
    x, y = np.ones((4, 3), int), np.zeros((4, 3), int)
    expected = model.evaluate(x, y, verbose=0)
    model.model.layers[-1].trainable = False
    assert model.evaluate(x, y, verbose=0) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("loss", ["mse", keras.losses.MeanAbsoluteError()])
def test_predictions_without_a_feature_axis(loss):
    """Each entry of predictions of shape `[B]` is one example."""
    y_true, y_pred = np.random.default_rng(0).normal(size=(2, 6))
    found = kml.losses.AdaLoss(loss, reduction=None)(y_true, y_pred)
    expected = kml.losses.AdaLoss(loss, reduction=None)(
        y_true[:, None], y_pred[:, None]
    )
    np.testing.assert_allclose(found, expected, rtol=1e-6)


@pytest.mark.parametrize("policy", ["mixed_float16"], indirect=True)
@pytest.mark.usefixtures("policy")
def test_skipped_steps_do_not_report_nan_weights():
    model = kml.MultiTaskModel(multi_task_models.network(), kml.losses.weighting.IMTL())
    optimizer = keras.optimizers.LossScaleOptimizer(
        keras.optimizers.SGD(1e-3), initial_scale=2.0**20
    )
    model.compile(optimizer, multi_task_models.losses())
    x, y = multi_task_models.batch()
    history = model.fit(x, y, batch_size=4, epochs=8, verbose=0).history
    assert 0 < int(optimizer.inner_optimizer.iterations) < 24
    shown = [v for name, v in history.items() if name.endswith("_weight")]
    assert shown and np.isfinite(shown).all()
