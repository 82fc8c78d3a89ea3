"""Task weighting methods match independent NumPy and SciPy references."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import scipy.optimize
import tensorflow as tf

import keras_metaloss as kml
from keras_metaloss.losses.weighting.mgda import shortest_combination
from keras_metaloss.losses.weighting.pc_grad import project_conflicts

W = kml.losses.weighting
NAMES = ("a", "b", "c", "d", "e", "f")


def attached(weighting, count=3):
    weighting.build_for(NAMES[:count])
    return weighting


def random_gradients(count=3, size=5, seed=0, conflict=False):
    """Returns gradients `[K, P]`; with `conflict` the last opposes the others."""
    rng = np.random.default_rng(seed)
    gradients = rng.normal(size=(count, size)) * np.geomspace(0.3, 3.0, count)[:, None]
    if conflict:
        gradients[-1] = -gradients[0] - 0.3 * gradients[1] + 0.1 * gradients[-1]
    return gradients


def weigh(weighting, losses, gradients):
    losses = tf.constant(losses, weighting.variable_dtype)
    products = tf.constant(gradients @ gradients.T, weighting.variable_dtype)
    return weighting.compute_weights(losses, products)


@pytest.fixture
def float64():
    keras.config.set_floatx("float64")


# Products


def test_gradient_products_over_several_parameters():
    rng = np.random.default_rng(0)
    gradients = [[rng.normal(size=(2, 3)), rng.normal(size=4)] for _ in range(3)]
    flat = np.stack([np.concatenate([g.ravel() for g in row]) for row in gradients])
    tensors = [[tf.constant(g) for g in row] for row in gradients]
    np.testing.assert_allclose(
        W.gradient_products(tensors), flat @ flat.T, rtol=1e-12, atol=1e-12
    )


# Fixed, geometric


def test_fixed_weighting():
    weighting = attached(W.FixedWeighting({"b": 2.0, "a": 0.5, "c": 0.0}))
    losses = tf.constant([3.0, 4.0, 5.0])
    np.testing.assert_array_equal(
        weighting.compute_weights(losses).shared, [0.5, 2.0, 0.0]
    )
    assert float(weighting.objective(losses)) == 9.5


def test_geometric_weights_are_the_derivative_of_the_geometric_mean():
    losses = np.array([0.3, 2.0, 11.0])
    weighting = attached(W.GeometricLossStrategy())
    mean = np.prod(losses) ** (1 / 3)
    assert float(weighting.objective(tf.constant(losses))) == pytest.approx(mean)
    weights = weighting.compute_weights(tf.constant(losses)).shared
    # LibMTL's GLS minimizes the same mean but reports a different weight.
    np.testing.assert_allclose(weights, mean / (3 * losses), rtol=1e-12)
    scaled = weighting.compute_weights(tf.constant(losses * [1, 100, 1e-3]))
    step = scaled.shared * losses * [1, 100, 1e-3]
    np.testing.assert_allclose(step / tf.reduce_sum(step), np.full(3, 1 / 3))


def test_geometric_mean_of_negative_loss_is_nan():
    weighting = attached(W.GeometricLossStrategy())
    assert np.isnan(weighting.objective(tf.constant([1.0, -1.0, 2.0])))
    assert np.isnan(
        weighting.compute_weights(tf.constant([1.0, -1.0, 2.0])).shared
    ).any()


# Uncertainty


@pytest.mark.parametrize("classification", [(), ("a", "b", "c"), ("b",)])
def test_uncertainty_optimum_matches_closed_form(float64, classification):
    losses = tf.constant([0.2, 1.0, 30.0], "float64")
    weighting = attached(W.UncertaintyWeighting(classification))
    factor = np.array([1.0 if t in classification else 0.5 for t in NAMES[:3]])

    def value(s):
        weighting.log_variance.assign(s)
        return float(weighting.objective(losses))

    best = scipy.optimize.minimize(value, np.zeros(3), method="BFGS").x
    closed_form = np.log(2 * factor * losses)
    np.testing.assert_allclose(best, closed_form, atol=1e-4)
    weighting.log_variance.assign(closed_form)
    np.testing.assert_allclose(
        weighting.parameter_gradients(losses)[0], np.zeros(3), atol=1e-12
    )
    # At the optimum the weight is 1 / (2 L) with either denominator.
    np.testing.assert_allclose(
        weighting.compute_weights(losses).shared, 1 / (2 * losses)
    )


def test_uncertainty_matches_libmtl():
    # LibMTL's regression form: sum_k L_k / (2 exp(s_k)) + s_k / 2.
    losses, s = np.array([0.2, 1.0, 3.0]), np.array([-0.5, 0.1, 0.7])
    weighting = attached(W.UncertaintyWeighting())
    weighting.log_variance.assign(s)
    expected = (losses / (2 * np.exp(s)) + s / 2).sum()
    value = weighting.objective(tf.constant(losses, "float32"))
    assert float(value) == pytest.approx(expected, rel=1e-6)


# Dynamic weight average


def test_dynamic_weight_average_matches_formula():
    weighting = attached(W.DynamicWeightAverage(temperature=2.0))
    epochs = [
        [[1.0, 2.0, 8.0], [3.0, 2.0, 0.0]],  # means 2, 2, 8; zero means no label
        [[1.0, 2.0, 4.0], [1.0, 4.0, 4.0]],  # means 1, 3, 4
        [[0.5, 3.0, 5.0]],
    ]
    expected = [
        np.ones(3),
        np.ones(3),
        3 * np.exp([0.25, 0.75, 0.25]) / np.exp([0.25, 0.75, 0.25]).sum(),
        3
        * np.exp([0.25, 0.5, 0.625])
        / np.exp([0.25, 0.5, 0.625]).sum(),  # 0.5/1, 3/3, 5/4
    ]
    for weights, steps in zip(expected, [*epochs, []], strict=True):
        found = weighting.compute_weights(tf.constant([1.0, 1.0, 1.0]))
        np.testing.assert_allclose(found.shared, weights, rtol=1e-6)
        np.testing.assert_allclose(found.specific, weights, rtol=1e-6)
        for losses in steps:
            weighting.update(tf.constant(losses))
        weighting.end_epoch()


def test_dynamic_weight_average_ignores_epochs_without_labels():
    weighting = attached(W.DynamicWeightAverage(), 2)
    for losses in ([1.0, 4.0], [0.5, 4.0], [0.25, 0.0]):
        weighting.update(tf.constant(losses))
        weighting.end_epoch()
    weights = weighting.compute_weights(tf.constant([1.0, 1.0])).shared
    expected = 2 * np.exp([0.25, 0.5]) / np.exp([0.25, 0.5]).sum()
    np.testing.assert_allclose(weights, expected, rtol=1e-6)


# GradNorm


def test_grad_norm_steps_match_numerical_gradient(float64):
    alpha, rate = 1.5, 0.1
    weighting = attached(W.GradNorm(alpha, rate))
    gradients = random_gradients()
    history = [np.array([1.0, 2.0, 4.0]), np.array([0.5, 2.0, 1.0])]
    weights = np.ones(3)
    for losses in history:
        weighting.update(
            tf.constant(losses), products=tf.constant(gradients @ gradients.T)
        )
        norms = np.linalg.norm(gradients, axis=1)
        progress = losses / history[0]
        mean = (weights * norms).mean()
        target = mean * (progress / progress.mean()) ** alpha

        def objective(w, norms=norms, target=target):
            return np.abs(w * norms - target).sum()

        slope = scipy.optimize.approx_fprime(weights, objective, 1e-7)
        weights = weights - rate * slope / mean
        weights = 3 * weights / weights.sum()
        found = weighting.compute_weights(tf.constant(losses))
        np.testing.assert_allclose(found.shared, weights, rtol=1e-5)
        np.testing.assert_array_equal(found.shared, found.specific)


def test_grad_norm_equalizes_norms_at_equal_training_rates():
    weighting = attached(W.GradNorm(alpha=1.5, learning_rate=0.01))
    losses, norms = tf.constant([1.0, 1.0, 1.0]), np.array([0.5, 1.0, 4.0])
    update = tf.function(weighting.update)
    for _ in range(300):
        update(losses, tf.constant(np.diag(norms**2), "float32"))
    scaled = weighting.compute_weights(losses).shared * norms
    np.testing.assert_allclose(scaled, np.full(3, np.mean(scaled)), rtol=0.1)


def test_grad_norm_ignores_overflowing_and_missing_gradients():
    weighting = attached(W.GradNorm(learning_rate=0.1))
    losses = tf.constant([1.0, 1.0, 1.0])
    weighting.update(losses, tf.constant(np.diag([1.0, np.inf, 1.0]), "float32"))
    np.testing.assert_array_equal(weighting.task_weights, np.ones(3))
    np.testing.assert_array_equal(weighting.initial_losses, np.zeros(3))
    weighting.update(tf.constant([1.0, 0.0, 1.0]), tf.linalg.diag([1.0, 0.0, 1.0]))
    np.testing.assert_array_equal(weighting.task_weights, np.ones(3))
    np.testing.assert_array_equal(weighting.initial_losses, [1.0, 0.0, 1.0])


# IMTL


@pytest.mark.parametrize("count", [2, 3, 6])
def test_imtl_gradient_gives_equal_projections(float64, count):
    gradients = random_gradients(count, size=9, seed=count)
    found = weigh(attached(W.IMTL("gradient"), count), np.ones(count), gradients)
    weights = found.shared.numpy()
    assert weights.sum() == pytest.approx(1.0)
    unit = gradients / np.linalg.norm(gradients, axis=1, keepdims=True)
    projections = unit @ (weights @ gradients)
    np.testing.assert_allclose(projections, projections[0], rtol=1e-9)
    # The paper's closed form, as implemented in LibMTL.
    differences = gradients[:1] - gradients[1:]
    units = unit[:1] - unit[1:]
    rest = gradients[0] @ units.T @ np.linalg.inv(differences @ units.T)
    np.testing.assert_allclose(weights, [1 - rest.sum(), *rest], rtol=1e-9)
    np.testing.assert_array_equal(found.specific, np.ones(count))


def test_imtl_loss_is_optimal_at_equal_scaled_losses(float64):
    weighting = attached(W.IMTL("loss"))
    losses = tf.constant([0.1, 1.0, 20.0], "float64")
    weighting.log_scale.assign(-np.log(losses))
    found = weighting.compute_weights(losses)
    np.testing.assert_allclose(found.shared * losses, np.ones(3))
    np.testing.assert_allclose(
        weighting.parameter_gradients(losses)[0], np.zeros(3), atol=1e-12
    )
    # LibMTL: exp(s) L - s.
    assert float(weighting.objective(losses)) == pytest.approx(
        3 + np.log([0.1, 1.0, 20.0]).sum()
    )


def test_imtl_both_is_imtl_gradient_on_scaled_gradients(float64):
    gradients, s = random_gradients(), np.array([0.3, -1.0, 0.8])
    both, alone = attached(W.IMTL("both")), attached(W.IMTL("gradient"))
    both.log_scale.assign(s)
    found = weigh(both, np.ones(3), gradients)
    of_scaled = weigh(alone, np.ones(3), gradients * np.exp(s)[:, None])
    np.testing.assert_allclose(found.shared, of_scaled.shared * np.exp(s), rtol=1e-9)
    np.testing.assert_allclose(found.specific, np.exp(s))


def test_imtl_descends_if_coefficient_sum_is_negative(float64):
    # The short first gradient lies between the others and needs a negative weight.
    unit = np.array([[0.7, 0.7, 0.14], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    norms = np.array([0.01, 1.0, 1.0])
    gradients = unit * norms[:, None]
    raw = np.linalg.solve(unit @ unit.T, np.ones(3)) / norms
    assert raw.sum() < 0
    weights = weigh(attached(W.IMTL("gradient")), np.ones(3), gradients).shared.numpy()
    np.testing.assert_allclose(weights, raw / abs(raw.sum()), rtol=1e-9)
    assert (unit @ (weights @ gradients) > 0).all()


# PCGrad


def test_pcgrad_of_three_gradients():
    # a and b conflict: a . b = -1, |a|^2 = 1, |b|^2 = 2; c is orthogonal to both.
    gradients = np.array([[1.0, 0.0, 0.0], [-1.0, 1.0, 0.0], [0.0, 0.0, 2.0]])
    weights = weigh(attached(W.PCGrad()), np.ones(3), gradients).shared.numpy()
    # p_a = a + b / 2, p_b = b + a, p_c = c.
    np.testing.assert_allclose(weights, [2.0, 1.5, 1.0])
    np.testing.assert_allclose(weights @ gradients, [0.5, 1.5, 2.0])


def pcgrad(gradients, order):
    projected = []
    for i, gradient in enumerate(gradients):
        p = gradient.copy()
        for j in order[i]:
            if j != i and p @ gradients[j] < 0:
                p = (
                    p
                    - (p @ gradients[j]) / (gradients[j] @ gradients[j]) * gradients[j]
                )
        projected.append(p)
    return np.stack(projected)


@pytest.mark.parametrize("seed", range(5))
def test_pcgrad_matches_algorithm_of_the_paper(float64, seed):
    rng = np.random.default_rng(seed)
    gradients = rng.normal(size=(4, 3))
    order = np.stack([rng.permutation(4) for _ in range(4)])
    found = project_conflicts(
        tf.constant(gradients @ gradients.T), tf.constant(order, "int32")
    )
    expected = pcgrad(gradients, order)
    assert not np.allclose(expected, gradients)
    np.testing.assert_allclose(found @ gradients, expected, atol=1e-12)


def test_pcgrad_without_conflicts_is_the_sum():
    gradients = np.abs(random_gradients())
    found = weigh(attached(W.PCGrad()), np.ones(3), gradients)
    np.testing.assert_array_equal(found.shared, np.ones(3))
    np.testing.assert_array_equal(found.specific, np.ones(3))


def test_pcgrad_draws_a_new_order_in_each_step():
    gradients = np.random.default_rng(3).normal(size=(4, 3))
    weighting, found = attached(W.PCGrad(), 4), []
    for _ in range(8):
        found.append(weigh(weighting, np.ones(4), gradients).shared.numpy())
        again = weigh(weighting, np.ones(4), gradients).shared.numpy()
        np.testing.assert_array_equal(found[-1], again)
        weighting.update(tf.ones(4), None)
    assert len({tuple(np.round(weights, 4)) for weights in found}) > 1


# MGDA


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ([1.0, 0.0], [0.0, 2.0]),
        ([1.0, 0.0], [3.0, 0.5]),  # a is the shortest combination
        ([3.0, 0.5], [1.0, 0.0]),
        ([1.0, 0.2], [-2.0, 0.1]),
    ],
)
def test_mgda_of_two_tasks_matches_closed_form(a, b):
    a, b = np.array(a), np.array(b)
    share = np.clip((b - a) @ b / ((a - b) @ (a - b)), 0, 1)
    weights = weigh(attached(W.MGDA(), 2), np.ones(2), np.stack([a, b])).shared
    np.testing.assert_allclose(weights, [share, 1 - share], atol=1e-6)


def on_simplex(function, count):
    """Minimizes a function over the simplex with SciPy from several starts."""
    starts = [np.full(count, 1 / count), *(np.eye(count) * 0.8 + 0.2 / count)]
    results = [
        scipy.optimize.minimize(
            function,
            start,
            method="SLSQP",
            bounds=[(0, 1)] * count,
            constraints={"type": "eq", "fun": lambda w: w.sum() - 1},
            options={"ftol": 1e-14, "maxiter": 500},
        )
        for start in starts
    ]
    return min(results, key=lambda r: r.fun)


@pytest.mark.parametrize("count", [2, 3, 6])
@pytest.mark.parametrize("size", [2, 20])
def test_mgda_matches_scipy(float64, count, size):
    gradients = random_gradients(count, size, seed=count)
    gradients[0] *= 5
    weights = weigh(attached(W.MGDA(), count), np.ones(count), gradients).shared
    weights = weights.numpy()
    best = on_simplex(lambda w: ((w @ gradients) ** 2).sum(), count)
    assert weights.sum() == pytest.approx(1.0) and (weights >= 0).all()
    direction = weights @ gradients
    assert direction @ direction <= best.fun + 1e-9
    # Optimality: all gradients have at least this inner product with the direction.
    assert (gradients @ direction).min() >= direction @ direction - 1e-9


@pytest.mark.parametrize(
    ("normalization", "lengths"),
    [
        ("l2", lambda losses, norms: norms),
        ("loss", lambda losses, norms: losses),
        ("loss+", lambda losses, norms: losses * norms),
    ],
)
def test_mgda_normalization_scales_gradients(float64, normalization, lengths):
    losses, gradients = np.array([0.5, 2.0, 3.0]), random_gradients()
    scale = 1 / lengths(losses, np.linalg.norm(gradients, axis=1))
    found = weigh(attached(W.MGDA(normalization)), losses, gradients).shared
    plain = weigh(attached(W.MGDA()), losses, gradients * scale[:, None]).shared
    np.testing.assert_allclose(found, plain * scale, rtol=1e-9)


# CAGrad


@pytest.mark.parametrize("c", [0.1, 0.5, 2.0])
@pytest.mark.parametrize("count", [2, 3, 6])
@pytest.mark.parametrize("conflict", [False, True])
def test_cagrad_matches_scipy(float64, c, count, conflict):
    gradients = random_gradients(count, 7, seed=count, conflict=conflict)
    mean = gradients.mean(axis=0)
    length = c * np.linalg.norm(mean)

    def dual(w):
        return w @ gradients @ mean + length * np.linalg.norm(w @ gradients)

    best = on_simplex(dual, count)
    turn = best.x @ gradients
    expected = mean + length * turn / np.linalg.norm(turn)
    found = weigh(attached(W.CAGrad(c), count), np.ones(count), gradients)
    direction = found.shared.numpy() @ gradients
    np.testing.assert_allclose(direction, expected, atol=2e-5 * np.abs(expected).max())
    # The constraint of the primal problem holds and the duality gap is zero.
    assert np.linalg.norm(direction - mean) <= length * (1 + 1e-9)
    assert (gradients @ direction).min() == pytest.approx(best.fun, rel=1e-6)
    np.testing.assert_allclose(found.specific, np.full(count, 1 / count))


@pytest.mark.parametrize("c", [0.5, 1.5, 3.0])
def test_cagrad_satisfies_constraint_for_canceling_gradients(c):
    gradients = np.array([[1.0, 1e-4], [-2.0, 1e-4]])
    products = tf.constant(gradients @ gradients.T, tf.float32)
    found = attached(W.CAGrad(c), 2).compute_weights(tf.ones([2]), products)
    mean = gradients.mean(axis=0)
    turn = found.shared.numpy().astype(float) @ gradients - mean
    assert np.linalg.norm(turn) <= c * np.linalg.norm(mean) * (1 + 1e-2)


def test_cagrad_with_zero_radius_is_the_mean():
    found = weigh(attached(W.CAGrad(0.0)), np.ones(3), random_gradients(conflict=True))
    np.testing.assert_allclose(found.shared, np.full(3, 1 / 3))


# Random


def test_random_weights_are_softmax_of_normal_samples():
    weighting = attached(W.RandomLossWeighting(seed=3))
    draws = []
    step = tf.function(weighting.weigh)
    for _ in range(300):
        draws.append(step(tf.ones(3)).shared.numpy())
        weighting.update(tf.ones(3))
    draws = np.array(draws)
    np.testing.assert_allclose(draws.sum(axis=1), np.ones(300), rtol=1e-5)
    # log w_a - log w_b is a difference of standard normal numbers (variance 2).
    difference = np.log(draws[:, 0]) - np.log(draws[:, 1])
    assert abs(difference.mean()) < 0.3
    assert difference.var() == pytest.approx(2.0, rel=0.3)


# All methods

METHODS = {
    "fixed": W.FixedWeighting,
    "fixed weights": lambda: W.FixedWeighting({"a": 1.0, "b": 2.0, "c": 3.0}),
    "uncertainty": lambda: W.UncertaintyWeighting(["b"]),
    "dwa": W.DynamicWeightAverage,
    "gradnorm": W.GradNorm,
    "gls": W.GeometricLossStrategy,
    "imtl": W.IMTL,
    "imtl-l": lambda: W.IMTL("loss"),
    "imtl-g": lambda: W.IMTL("gradient"),
    "pcgrad": lambda: W.PCGrad(seed=5),
    "mgda": W.MGDA,
    "mgda l2": lambda: W.MGDA("l2"),
    "cagrad": lambda: W.CAGrad(0.3),
    "rlw": lambda: W.RandomLossWeighting(seed=5),
}


@pytest.mark.parametrize("method", METHODS)
def test_config_round_trip(method):
    weighting = METHODS[method]()
    restored = keras.saving.deserialize_keras_object(
        keras.saving.serialize_keras_object(weighting)
    )
    assert type(restored) is type(weighting)
    assert restored.get_config() == weighting.get_config()
    attached(weighting), attached(restored)
    found = weigh(weighting, [1.0, 2.0, 0.5], random_gradients(conflict=True))
    again = weigh(restored, [1.0, 2.0, 0.5], random_gradients(conflict=True))
    np.testing.assert_array_equal(found.shared, again.shared)


@pytest.mark.parametrize("method", METHODS)
def test_eager_graph_and_xla_agree(method):
    gradients = random_gradients(conflict=True)
    results = []
    for compiled in (None, False, True):
        weighting = attached(METHODS[method]())

        def two_steps(losses, products, weighting=weighting):
            weighting.update(losses, products)
            return weighting.compute_weights(2 * losses, products)

        if compiled is not None:
            two_steps = tf.function(two_steps, jit_compile=compiled)
        results.append(
            two_steps(
                tf.constant([1.0, 2.0, 0.5]),
                tf.constant(gradients @ gradients.T, "float32"),
            )
        )
    for other in results[1:]:
        np.testing.assert_allclose(results[0].shared, other.shared, rtol=1e-4)
        np.testing.assert_allclose(results[0].specific, other.specific, rtol=1e-4)


# The random methods depend on the order of tasks by construction.
@pytest.mark.parametrize("method", sorted(set(METHODS) - {"rlw", "pcgrad"}))
def test_weights_do_not_depend_on_task_order(method):
    gradients, order = random_gradients(conflict=True), np.array([2, 0, 1])
    losses = np.array([1.0, 2.0, 0.5])
    results = []
    for permutation in (np.arange(3), order):
        weighting = METHODS[method]()
        weighting.build_for([NAMES[i] for i in permutation])
        g = gradients[permutation]
        for scale in (1.0, 0.8, 0.9):
            weighting.update(
                tf.constant(scale * losses[permutation], "float32"),
                tf.constant(g @ g.T, "float32"),
            )
            weighting.end_epoch()
        results.append(weigh(weighting, losses[permutation], g).shared.numpy())
    np.testing.assert_allclose(results[0][order], results[1], rtol=1e-3, atol=1e-6)


def test_pcgrad_of_two_tasks_does_not_depend_on_task_order():
    gradients = np.array([[1.0, 0.0], [-1.0, 1.0]])
    one = weigh(attached(W.PCGrad(), 2), np.ones(2), gradients).shared
    other = weigh(attached(W.PCGrad(), 2), np.ones(2), gradients[::-1]).shared
    np.testing.assert_allclose(one, other[::-1])


@pytest.mark.parametrize("method", METHODS)
def test_task_without_labels_does_not_affect_other_tasks(method):
    gradients, losses = random_gradients(), np.array([1.0, 0.0, 0.5])
    gradients[1] = 0.0
    weighting = attached(METHODS[method]())
    weighting.update(
        tf.constant(losses, "float32"), tf.constant(gradients @ gradients.T, "float32")
    )
    found = weigh(weighting, losses, gradients)
    shared, specific = found.shared.numpy(), found.specific.numpy()
    assert np.isfinite(shared).all() and np.isfinite(specific).all()
    assert (np.abs(shared[[0, 2]]) > 1e-3).all(), shared
    for gradient in weighting.parameter_gradients(tf.constant(losses, "float32")):
        assert gradient[1] == 0.0 and np.isfinite(gradient).all()


@pytest.mark.parametrize("method", METHODS)
def test_zero_or_parallel_gradients_give_finite_weights(method):
    for gradients in (
        np.zeros((3, 4)),
        np.ones((3, 4)),
        np.diag([1, 2, -3]) @ np.ones((3, 4)),
    ):
        found = weigh(attached(METHODS[method]()), np.ones(3), gradients)
        assert np.isfinite(found.shared).all() and np.isfinite(found.specific).all()


def test_imtl_weights_of_parallel_gradients():
    # In the limit of equal projections, all weighted gradients have the same norm.
    found = weigh(attached(W.IMTL("gradient"), 2), np.ones(2), np.array([[1.0], [3.0]]))
    np.testing.assert_allclose(found.shared, [0.75, 0.25], rtol=1e-4)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: W.FixedWeighting({"a": -1.0}), "`weights`.*weights=-1.0"),
        (lambda: W.FixedWeighting({"a": True}), "`weights`.*True"),
        (lambda: W.FixedWeighting([1.0, 2.0]), "`weights`.*dictionary"),
        (lambda: W.UncertaintyWeighting("a"), "`classification`.*'a'"),
        (lambda: W.DynamicWeightAverage(0.0), "`temperature`.*temperature=0.0"),
        (lambda: W.GradNorm(alpha=-1), "`alpha`.*alpha=-1"),
        (lambda: W.GradNorm(learning_rate="x"), "`learning_rate`.*'x'"),
        (lambda: W.IMTL("losses"), "`balance`.*'losses'"),
        (lambda: W.MGDA("l1"), "`normalization`.*'l1'"),
        (lambda: W.CAGrad(-0.5), "`c`.*c=-0.5"),
        (lambda: W.PCGrad(seed=-1), "`seed`.*seed=-1"),
        (lambda: W.RandomLossWeighting(seed=True), "`seed`.*True"),
        (
            lambda: attached(W.FixedWeighting({"a": 1.0})),
            "`weights`.*each of the tasks",
        ),
        (lambda: attached(W.UncertaintyWeighting(["z"])), "`classification`.*'z'"),
        (lambda: W.PCGrad().build_for(["a"]), "`tasks`.*at least two"),
        (lambda: W.PCGrad().build_for(["a", "a"]), "`tasks`.*different"),
        (
            lambda: attached(W.PCGrad(), 3).build_for(["x", "y"]),
            "PCGrad.*already attached.*Create a new object",
        ),
    ],
)
def test_invalid_arguments(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def shortest_length(products):
    """Returns the minimum of `w' P w` over all faces of the simplex."""
    count, found = len(products), []
    for face in range(1, 2**count):
        chosen = [k for k in range(count) if face >> k & 1]
        w = np.linalg.solve(products[np.ix_(chosen, chosen)], np.ones(len(chosen)))
        w /= w.sum()
        if (w >= 0).all():
            found.append(w @ products[np.ix_(chosen, chosen)] @ w)
    return min(found)


@pytest.mark.parametrize("size", [1.0, 1e-2, 1e-3])
def test_shortest_combination_of_nearly_opposing_gradients(size):
    g = np.random.default_rng(0).normal(size=(3, 5))
    g[2] = -g[0] - 0.3 * g[1] + 0.1 * g[2]
    g[1] *= size
    products = g @ g.T
    w = shortest_combination(tf.constant(products)).numpy()
    assert w.sum() == pytest.approx(1) and (w >= 0).all()
    assert w @ products @ w == pytest.approx(shortest_length(products), rel=1e-3)
