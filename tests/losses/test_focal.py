"""Tests of focal losses: exact for any logit, cross-entropy at gamma = 0."""

from __future__ import annotations

import keras
import mpmath
import numpy as np
import pytest
import tensorflow as tf

import keras_metaloss as kml

# For gradients by the parameters of a loss.
TRAINS = kml.losses.LossContext(trains_parameters=True)

Binary = kml.losses.BinaryFocalLoss
Categorical = kml.losses.CategoricalFocalLoss
Sparse = kml.losses.SparseCategoricalFocalLoss

GAMMAS = [0.0, 0.3, 1.0, 2.0, 5.0]
SIZES = [0.0, 1e-4, 0.01, 0.5, 1.0, 3.0, 8.0, 12.0, 16.5, 20.0, 50.0, 88.0, 120.0, 1e3]
LOGITS = sorted({*SIZES, *(-s for s in SIZES)})
EXACT = {"float32": (1e-5, 1e-4, 1e-36), "float64": (1e-10, 1e-10, 1e-290)}


def exact_focal(odds, gamma):
    """Computes value and derivative by the log odds with fifty digits."""
    with mpmath.workdps(50):
        ahead = mpmath.exp(mpmath.mpf(odds))
        p, rest = ahead / (1 + ahead), 1 / (1 + ahead)
        factor = rest ** mpmath.mpf(gamma)
        cross_entropy = mpmath.log1p(1 / ahead)
        return factor * cross_entropy, -factor * (rest + gamma * p * cross_entropy)


def exact_categorical(logits, label, gamma):
    """Computes the value and the derivatives by all logits."""
    with mpmath.workdps(50):
        terms = [mpmath.exp(mpmath.mpf(float(z))) for z in logits]
        others = mpmath.fsum(t for i, t in enumerate(terms) if i != label)
        value, slope = exact_focal(mpmath.log(terms[label] / others), gamma)
        gradient = [-slope * t / others for t in terms]
        gradient[label] = slope
        return float(value), [float(g) for g in gradient]


def value_and_gradient(loss, y_true, y_pred):
    y_pred = tf.constant(y_pred)
    with tf.GradientTape() as tape:
        tape.watch(y_pred)
        values = loss.call(tf.constant(y_true), y_pred)
    return values.numpy(), tape.gradient(values, y_pred).numpy()


@pytest.mark.parametrize("dtype", EXACT)
@pytest.mark.parametrize("gamma", GAMMAS)
@pytest.mark.parametrize("label", [0.0, 1.0])
def test_binary_loss_is_exact(gamma, label, dtype):
    logits = np.array(LOGITS, dtype)[:, np.newaxis]
    loss = Binary(gamma, from_logits=True, dtype=dtype)
    values, gradient = value_and_gradient(loss, np.full_like(logits, label), logits)
    sign = 1 if label else -1
    exact = [exact_focal(sign * float(z), gamma) for z in logits[:, 0]]
    value_error, gradient_error, tiny = EXACT[dtype]
    np.testing.assert_allclose(
        values, [float(v) for v, _ in exact], rtol=value_error, atol=tiny
    )
    np.testing.assert_allclose(
        gradient[:, 0],
        [sign * float(g) for _, g in exact],
        rtol=gradient_error,
        atol=tiny,
    )


# Values and gradients of torchvision.ops.sigmoid_focal_loss (0.29.2).
TORCHVISION = {
    (0.25, 2.0): (
        [0.6915701102563155, 0.05068011788812772, 0.04332169878499658],
        [0.19577391862682325, 0.00045089070881009483, 5.619197199393532],
        [-0.28168747015872214, 0.10345274801318578, -0.07457169878499659],
        [0.30468255975152037, -0.0012177350488481945, 0.7549692797967095],
    ),
    (None, 2.0): (
        [2.766280441025262, 0.06757349051750362, 0.17328679513998632],
        [0.261031891502431, 0.0018035628352403793, 7.492262932524709],
        [-1.1267498806348886, 0.1379369973509144, -0.29828679513998635],
        [0.40624341300202726, -0.004870940195392778, 1.0066257063956126],
    ),
    (0.6, 1.5): (
        [1.7005839103787963, 0.04399005185916007, 0.14703872152028208],
        [0.1392570585915794, 0.003134289279347453, 2.9977338291515356],
        [-0.6523489495668244, 0.0761053832170693, -0.21634505831819367],
        [0.18624047667549654, -0.007084539511989126, 0.4019330753450346],
    ),
}


@pytest.mark.parametrize(("alpha", "gamma"), TORCHVISION)
def test_binary_loss_matches_torchvision(alpha, gamma):
    logits = np.array([[-3.0, -0.5, 0.0], [0.25, 2.0, 7.5]])
    targets = np.array([[1.0, 0.0, 1.0], [0.0, 1.0, 0.0]])
    loss = Binary(gamma, alpha, from_logits=True, dtype="float64")
    values, gradient = value_and_gradient(loss, targets[..., None], logits[..., None])
    expected = np.array(TORCHVISION[alpha, gamma])
    np.testing.assert_allclose(values, expected[:2], rtol=1e-10)
    np.testing.assert_allclose(gradient[..., 0], expected[2:], rtol=1e-10)


def wide_logits(dtype, classes=5):
    """Returns rows with target logits far above, far below or among the others."""
    random = np.random.default_rng(0)
    rows = [random.normal(size=classes) * scale for scale in (0.1, 1, 5, 30, 300)]
    for size in SIZES[3:]:
        for sign in (-1, 1):
            row = random.normal(size=classes)
            row[2] = sign * size
            rows.append(row)
    rows.append(np.full(classes, 1000.0))
    rows.append(np.array([-1000.0, 1000.0, 1000.0, 0.0, -1000.0]))
    return np.clip(np.array(rows), -1000, 1000).astype(dtype)


@pytest.mark.parametrize("dtype", EXACT)
@pytest.mark.parametrize("gamma", GAMMAS)
@pytest.mark.parametrize("kind", ["categorical", "sparse"])
def test_categorical_losses_are_exact(gamma, kind, dtype):
    logits = wide_logits(dtype)
    labels = np.full(len(logits), 2)
    if kind == "sparse":
        loss, targets = Sparse(gamma, from_logits=True, dtype=dtype), labels
    else:
        loss = Categorical(gamma, from_logits=True, dtype=dtype)
        targets = np.eye(5, dtype=dtype)[labels]
    values, gradient = value_and_gradient(loss, targets, logits)
    exact = [exact_categorical(row, 2, gamma) for row in logits]
    value_error, gradient_error, tiny = EXACT[dtype]
    np.testing.assert_allclose(
        values, [v for v, _ in exact], rtol=value_error, atol=tiny
    )
    np.testing.assert_allclose(
        gradient, [g for _, g in exact], rtol=gradient_error, atol=tiny
    )


def test_soft_targets_are_exact_for_any_logit():
    logits = wide_logits("float64")
    targets = np.random.default_rng(1).dirichlet(np.ones(5), size=len(logits))
    loss = Categorical(1.5, from_logits=True, dtype="float64")
    values, gradient = value_and_gradient(loss, targets, logits)
    for row in range(len(logits)):
        exact = [exact_categorical(logits[row], c, 1.5) for c in range(5)]
        expected = sum(t * v for t, (v, _) in zip(targets[row], exact, strict=True))
        slopes = sum(
            t * np.array(g) for t, (_, g) in zip(targets[row], exact, strict=True)
        )
        assert values[row] == pytest.approx(expected, rel=1e-10)
        scale = abs(slopes).max()
        np.testing.assert_allclose(
            gradient[row], slopes, rtol=1e-10, atol=1e-14 * scale
        )


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
@pytest.mark.parametrize("cls", [Binary, Categorical, Sparse])
def test_loss_is_finite_for_probabilities_0_and_1(cls, gamma):
    y_pred = np.array([[0.0, 1.0], [1.0, 0.0]], "float32")
    targets = np.array([0, 0]) if cls is Sparse else np.array([[1, 0], [1, 0]])
    values, gradient = value_and_gradient(
        cls(gamma), targets.astype("int32" if cls is Sparse else "float32"), y_pred
    )
    assert np.isfinite(values).all()
    assert np.isfinite(gradient).all()
    assert values[0] > 60
    assert values[1] < 1e-20


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


@pytest.mark.parametrize("kind", ["binary", "categorical", "sparse"])
@pytest.mark.parametrize("graph", [False, True])
def test_second_derivatives(kind, graph):
    """An outer loop differentiates the loss of the inner loop twice."""
    random = np.random.default_rng(0)
    logits = random.normal(size=(3, 4))
    logits[1] = 0.0  # logits of an untrained head
    logits = tf.constant(logits)
    labels = np.array([0, 3, 1])
    loss, targets = {
        "binary": (Binary(1.5, from_logits=True), np.eye(4)[labels]),
        "categorical": (Categorical(1.5, from_logits=True), np.eye(4)[labels]),
        "sparse": (Sparse(1.5, from_logits=True), labels),
    }[kind]
    direction = tf.constant(random.normal(size=(3, 4)))

    def gradient(z):
        with tf.GradientTape() as tape:
            tape.watch(z)
            value = tf.reduce_sum(loss.call(tf.constant(targets), z))
        return tape.gradient(value, z)

    def product(z):
        with tf.GradientTape() as tape:
            tape.watch(z)
            slope = tf.reduce_sum(gradient(z) * direction)
        return tape.gradient(slope, z)

    result = (tf.function(product) if graph else product)(logits)
    numeric = gradient(logits + 1e-6 * direction) - gradient(logits - 1e-6 * direction)
    np.testing.assert_allclose(result, numeric / 2e-6, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("scale", [0.3, 4.0])
def test_learned_gamma_follows_overconfidence(scale):
    """Targets are drawn from softmax(z); predictions are softmax(scale * z)."""
    random = np.random.default_rng(0)
    logits = random.normal(size=(4000, 3)) * 1.5
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    labels = (random.random((4000, 1)) > p.cumsum(axis=1)).sum(axis=1)
    loss = Sparse("learned", from_logits=True)
    assert loss.gamma == pytest.approx(2.0, rel=1e-6)
    with tf.GradientTape() as tape:
        value = loss(labels, scale * logits, context=TRAINS)
    slope = tape.gradient(value, loss.trainable_variables)[0]
    fixed = Sparse(2.0, from_logits=True)(labels, scale * logits)
    assert float(value) == pytest.approx(float(fixed), rel=1e-6)
    if scale < 1:  # underconfident predictions: gamma should decrease
        assert float(slope) > 0
    else:
        assert float(slope) < 0


def test_gradient_of_gamma_matches_numpy_likelihood():
    random = np.random.default_rng(0)
    logits, labels = random.normal(size=(20, 4)) * 2, random.integers(0, 4, 20)
    hot = np.eye(4)[labels]
    raw0 = np.log(np.expm1(2.0))

    def categorical(raw):
        gamma = np.log1p(np.exp(raw))
        p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        weight = p ** ((1 - p) ** gamma)
        q = weight / weight.sum(axis=1, keepdims=True)
        return -np.log(q[np.arange(20), labels]).mean()

    def binary(raw):
        gamma = np.log1p(np.exp(raw))
        p = 1 / (1 + np.exp(-logits))
        yes, no = p ** ((1 - p) ** gamma), (1 - p) ** (p**gamma)
        q = yes / (yes + no)
        return -(hot * np.log(q) + (1 - hot) * np.log(1 - q)).mean()

    shared = {"gamma": "learned", "from_logits": True, "dtype": "float64"}
    for loss, targets, exact in (
        (Sparse(**shared), labels, categorical),
        (Categorical(**shared), hot, categorical),
        (Binary(**shared), hot, binary),
    ):
        with tf.GradientTape() as tape:
            value = loss(targets, tf.constant(logits), context=TRAINS)
        slope = float(tape.gradient(value, loss.trainable_variables)[0])
        numeric = (exact(raw0 + 1e-5) - exact(raw0 - 1e-5)) / 2e-5
        assert slope == pytest.approx(numeric, rel=1e-6)


@pytest.mark.parametrize("jit_compile", [False, True])
@pytest.mark.parametrize(("dtype", "error"), [("float32", 1e-4), ("bfloat16", 0.05)])
def test_gamma_gradient_of_a_large_uniform_batch(dtype, error, jit_compile):
    """With identical examples, every subsample has the gradient of the batch."""
    random = np.random.default_rng(0)
    few, label = random.normal(size=(1, 1, 7)), random.integers(0, 7, (1, 1))
    many, labels = np.tile(few, (8, 2000, 1)), np.tile(label, (8, 2000))
    loss = Sparse("learned", from_logits=True, dtype=dtype)

    @tf.function(jit_compile=jit_compile)
    def slope(labels, logits, weight):
        with tf.GradientTape() as tape:
            value = loss(labels, logits, sample_weight=weight, context=TRAINS)
        return tape.gradient(value, [v.value for v in loss.trainable_variables])[0]

    weight = np.full(label.shape, 0.5), np.full(labels.shape, 0.5)
    exact = float(slope(label, few, weight[0]))
    assert float(slope(labels, many, weight[1])) == pytest.approx(exact, rel=error)


@pytest.mark.parametrize("place", [0, 300, 511])
def test_gamma_gradient_uses_sample_weights(place):
    """One position per sequence has a nonzero weight."""
    random = np.random.default_rng(0)
    logits = tf.constant(random.normal(size=(16, 512, 50)) * 3)
    labels = random.integers(0, 50, (16, 512))
    weight = np.zeros((16, 512))
    weight[:, place] = random.uniform(1.0, 2.0, 16)
    slopes = []
    for where in (slice(None), slice(place, place + 1)):
        loss = Sparse("learned", from_logits=True, reduction="sum", dtype="float64")
        with tf.GradientTape() as tape:
            value = loss(
                labels[:, where], logits[:, where], weight[:, where], context=TRAINS
            )
        slopes.append(float(tape.gradient(value, loss.trainable_variables)[0]))
    assert slopes[0] == pytest.approx(slopes[1], rel=1e-6)


@pytest.mark.parametrize("cls", [Sparse, Categorical, Binary])
def test_subsample_represents_the_batch(cls):
    """Confidence increases along the batch; the subsample must cover all of it."""
    random = np.random.default_rng(0)
    labels = random.integers(0, 4, (64, 64, 8))
    sure = np.linspace(0.0, 6.0, 64)[:, np.newaxis, np.newaxis, np.newaxis]
    hot = np.eye(4)[labels]
    logits = sure * hot + random.normal(size=hot.shape)
    targets = labels if cls is Sparse else hot
    loss = cls("learned", from_logits=True, reduction="mean")
    slopes = []
    for batch in ((targets, logits), *zip(targets, logits, strict=True)):
        with tf.GradientTape() as tape:
            value = loss(*batch, context=TRAINS)
        slopes.append(float(tape.gradient(value, loss.trainable_variables)[0]))
    whole, *parts = slopes  # the parts are too small for subsampling
    assert whole == pytest.approx(np.mean(parts), rel=0.1)


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


@pytest.mark.parametrize("gamma", [-1.0, "x", None])
def test_functions_validate_gamma(gamma):
    with pytest.raises(ValueError, match="`gamma`"):
        kml.losses.categorical_focal_loss([[1.0, 0.0]], [[0.5, 0.5]], gamma=gamma)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_gamma_may_be_a_tensor(dtype):
    """Compares the derivative by gamma with finite differences."""
    random = np.random.default_rng(0)
    logits = tf.constant(random.normal(size=(5, 3, 4)), dtype)
    labels = tf.constant(random.integers(0, 4, (5, 3)))
    hot = tf.one_hot(labels, 4, dtype=dtype)
    for function, targets in (
        (kml.losses.sparse_categorical_focal_loss, labels),
        (kml.losses.categorical_focal_loss, hot),
        (kml.losses.binary_focal_loss, hot),
    ):

        def total(gamma, function=function, targets=targets):
            return tf.reduce_sum(function(targets, logits, gamma, from_logits=True))

        gamma = keras.Variable(1.3, dtype="float32")
        with tf.GradientTape() as tape:
            value = total(gamma)
        slope = float(tape.gradient(value, gamma.value))
        step = 1e-2 if dtype == "float32" else 1e-4
        differences = float(total(1.3 + step) - total(1.3 - step)) / (2 * step)
        assert slope == pytest.approx(differences, rel=1e-3)
        assert float(value) == pytest.approx(float(total(1.3)), rel=1e-6)
        with pytest.raises(ValueError, match=r"`gamma`.*shape \(4,\)"):
            total(tf.ones([4], dtype))


def test_example_without_a_batch_axis():
    value = kml.losses.sparse_categorical_focal_loss(1, [0.5, 0.5], gamma=1.0)
    assert float(value) == pytest.approx(np.log(2) / 2, rel=1e-6)


def test_learned_gamma_accepts_lists():
    for cls in (kml.losses.BinaryFocalLoss, kml.losses.CategoricalFocalLoss):
        fixed, learned = cls(2.0), cls("learned")
        assert float(learned([[1.0, 0.0]], [[0.3, 0.7]])) == pytest.approx(
            float(fixed([[1.0, 0.0]], [[0.3, 0.7]])), rel=1e-6
        )


@pytest.mark.parametrize("gamma", [2.0, "learned"])
def test_logit_of_minus_infinity(gamma):
    loss = kml.losses.SparseCategoricalFocalLoss(gamma, from_logits=True)
    logits = tf.constant([[1.0, 2.0, -np.inf]])
    with tf.GradientTape() as tape:
        value = loss([0], logits, context=TRAINS)
    p = 1 / (1 + np.e)
    assert float(value) == pytest.approx(-((1 - p) ** 2) * np.log(p), rel=1e-5)
    assert np.isfinite(tape.gradient(value, loss.trainable_variables)).all()


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


def test_binary_alpha_along_another_axis():
    rng = np.random.default_rng(0)
    y_true, y_pred = rng.integers(0, 2, (3, 2, 4)), rng.random((3, 2, 4))
    last = kml.losses.binary_focal_loss(
        y_true.swapaxes(1, 2), y_pred.swapaxes(1, 2), alpha=[0.1, 0.9]
    )
    value = kml.losses.binary_focal_loss(y_true, y_pred, alpha=[0.1, 0.9], axis=1)
    np.testing.assert_allclose(value, last, rtol=1e-6)
