"""All models train with `compute_loss`, and their calls do not write state."""

from __future__ import annotations

import copy

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_metaloss as kml

RATE = 0.1


def network(outputs=1):
    keras.utils.set_random_seed(0)
    layers = [keras.Input((2,)), keras.layers.Dense(3), keras.layers.Dense(outputs)]
    return keras.Sequential(layers)


def two_outputs():
    keras.utils.set_random_seed(0)
    x = keras.Input((2,))
    hidden = keras.layers.Dense(3)(x)
    outputs = {name: keras.layers.Dense(1, name=name)(hidden) for name in ("a", "b")}
    return keras.Model(x, outputs)


def batch():
    random = np.random.default_rng(0)
    x, y = random.normal(size=(8, 2)), random.normal(size=(8, 1))
    return x.astype("float32"), y.astype("float32")


def by_name():
    x, y = batch()
    return x, {"a": y, "b": -y}


def episodes():
    x, y = (v[np.newaxis] for v in batch())
    return {"support_x": x, "support_y": y, "query_x": x}, y


W = kml.losses.weighting
MSES = {"a": "mse", "b": "mse"}
MODELS = {
    "adaptive": (
        kml.AdaptiveLossModel,
        lambda cls: cls(network()),
        lambda: "mse",
        batch,
    ),
    "joint": (
        kml.JointModel,
        lambda cls: cls(network(), network()),
        lambda: kml.losses.MutualInformationLoss("mse", "mse", beta=0.1),
        by_name,
    ),
    "meta": (
        kml.MetaModel,
        lambda cls: cls(network(), kml.adaptation.MAML(1, 0.1, loss="mse")),
        lambda: "mse",
        episodes,
    ),
    "meta_joint_step": (
        kml.MetaModel,
        lambda cls: cls(network(), kml.adaptation.MAML(1, 0.1, loss="mse")),
        lambda: kml.losses.RapidGeneralizationLoss(
            "mse", kml.losses.TaskSimilarityLoss("gradient"), 0.1
        ),
        episodes,
    ),
    "multi_task": (
        kml.MultiTaskModel,
        lambda cls: cls(two_outputs()),
        lambda: MSES,
        by_name,
    ),
    "multi_task_uncertainty": (
        kml.MultiTaskModel,
        lambda cls: cls(two_outputs(), W.UncertaintyWeighting()),
        lambda: MSES,
        by_name,
    ),
    "multi_task_pc_grad": (
        kml.MultiTaskModel,
        lambda cls: cls(two_outputs(), W.PCGrad()),
        lambda: MSES,
        by_name,
    ),
}


def with_decay(base):
    """Returns a subclass whose loss is that of `base` plus the sum of squares."""

    class Decayed(base):
        def compute_loss(self, *args, **kwargs):
            kernels = [v for v in self.trainable_variables if "kernel" in v.path]
            squares = [tf.reduce_sum(tf.square(v)) for v in kernels]
            return super().compute_loss(*args, **kwargs) + tf.add_n(squares)

    return Decayed


def one_step(cls, name):
    _, make, loss, data = MODELS[name]
    model = make(cls)
    model.compile(keras.optimizers.SGD(RATE), loss())
    before = [np.array(v) for v in model.trainable_variables]
    logs = model.train_on_batch(*data(), return_dict=True)
    names = [v.path for v in model.trainable_variables]
    after = [np.array(v) for v in model.trainable_variables]
    return names, before, after, logs["loss"], model


@pytest.mark.parametrize("name", MODELS)
def test_overriding_compute_loss_changes_training(name):
    base = MODELS[name][0]
    names, before, plain, plain_loss, _ = one_step(base, name)
    _, _, decayed, loss, _ = one_step(with_decay(base), name)
    squares = 0.0
    for path, start, ours, theirs in zip(names, before, plain, decayed, strict=True):
        extra = 2.0 * RATE * start if "kernel" in path else 0.0 * start
        np.testing.assert_allclose(theirs, ours - extra, rtol=1e-4, atol=1e-6)
        squares += (start**2).sum() if "kernel" in path else 0.0
    assert loss == pytest.approx(plain_loss + squares, rel=1e-5)


@pytest.mark.parametrize("name", MODELS)
def test_overriding_compute_loss_changes_evaluation(name):
    base, make, loss, data = MODELS[name]
    results = []
    for cls in (base, with_decay(base)):
        model = make(cls)
        model.compile("sgd", loss())
        results.append(model.evaluate(*data(), verbose=0, return_dict=True)["loss"])
    kernels = [v for v in model.trainable_variables if "kernel" in v.path]
    squares = sum(float(tf.reduce_sum(tf.square(v))) for v in kernels)
    assert results[1] == pytest.approx(results[0] + squares, rel=1e-5)


@pytest.mark.parametrize("name", ["adaptive", "meta", "multi_task", "joint"])
def test_override_that_replaces_the_loss(name):
    base, make, loss, data = MODELS[name]

    class Constant(base):
        def compute_loss(self, *args, **kwargs):
            return 0.0 * super().compute_loss(*args, **kwargs)

    model = make(Constant)
    model.compile(keras.optimizers.SGD(RATE), loss())
    before = [np.array(v) for v in model.trainable_variables]
    model.train_on_batch(*data())
    for start, variable in zip(before, model.trainable_variables, strict=True):
        np.testing.assert_allclose(variable, start, atol=1e-7)


@pytest.mark.parametrize("name", MODELS)
def test_calls_write_no_state(name):
    _, make, loss, data = MODELS[name]
    model = make(MODELS[name][0])
    model.compile("sgd", loss())
    x = data()[0]
    before = copy.copy(vars(model._untracked))
    weights = model.get_weights()
    model(x)
    model(x, training=True)
    assert vars(model._untracked) == before
    for ours, theirs in zip(model.get_weights(), weights, strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("name", MODELS)
def test_callbacks_of_the_model_run_before_those_of_the_user(name):
    _, make, loss, data = MODELS[name]
    model = make(MODELS[name][0])
    model.compile("sgd", loss())
    own = [type(callback) for callback in model.training_callbacks()]
    seen = []

    class Last(keras.callbacks.Callback):
        def set_model(self, model):
            seen.append(type(self))

    history = model.fit(*data(), callbacks=Last(), verbose=0)
    assert seen == [Last]
    assert history.history["loss"]
    again = keras.callbacks.CallbackList(model=model, epochs=1)
    model.fit(*data(), callbacks=again, verbose=0)
    added = [type(callback) for callback in again.callbacks]
    assert [cls for cls in added if cls in own] == own


def test_every_model_traces_its_training_step_once():
    for name, (base, make, loss, data) in MODELS.items():
        count = []

        class Counting(base):
            def train_step(self, data, count=count):
                count.append(1)
                return super().train_step(data)

        model = make(Counting)
        model.compile("adam", loss())
        model.fit(*data(), epochs=2, verbose=0)
        assert len(count) == 1, name


@pytest.mark.parametrize("name", ["adaptive", "meta"])
def test_compile_takes_the_arguments_of_keras_by_position(name):
    _, make, loss, data = MODELS[name]
    model = make(MODELS[name][0])
    model.compile("sgd", loss(), None, ["mae"], ["mse"])
    logs = model.evaluate(*data(), verbose=0, return_dict=True)
    assert {"loss", "mae", "mse"} <= set(logs)


@pytest.mark.parametrize("name", ["adaptive", "multi_task", "meta"])
def test_override_of_compute_loss_may_leave_training_out(name):
    base, make, loss, data = MODELS[name]

    class Short(base):
        def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None):
            return super().compute_loss(x, y, y_pred, sample_weight)

    model = make(Short)
    model.compile("sgd", loss())
    assert np.isfinite(model.fit(*data(), verbose=0).history["loss"]).all()
    assert np.isfinite(model.evaluate(*data(), verbose=0, return_dict=True)["loss"])


def test_arguments_of_keras_by_position():
    model = kml.AdaptiveLossModel(network())
    model.compile("sgd", "mse", None, None, None, True)
    assert model.run_eagerly
    x, y = batch()
    model.fit(x, y, 4, 1, 0, None, 0.5)
    assert np.isfinite(model.evaluate(x, y, 8, 0, np.ones(8)))


def test_callback_list_is_used_again():
    _, make, loss, data = MODELS["joint"]
    model = make(kml.JointModel)
    model.compile("sgd", loss())
    callbacks = keras.callbacks.CallbackList(model=model, epochs=1, add_history=True)
    for _ in range(3):
        model.fit(*data(), callbacks=callbacks, verbose=0)
    assert int(model.epochs_done) == 3


def test_evaluation_computes_each_task_loss_once():
    calls = []

    def counted(y_true, y_pred):
        calls.append(1)
        return keras.losses.mean_squared_error(y_true, y_pred)

    model = kml.MultiTaskModel(two_outputs())
    model.compile("sgd", {"a": counted, "b": "mse"}, run_eagerly=True)
    model.evaluate(*by_name(), verbose=0)
    assert len(calls) == 1


def test_recompiled_model_evaluates_at_the_step_of_the_loss():
    ramp = keras.optimizers.schedules.PolynomialDecay(0.0, 4, 1.0)
    rapid = kml.losses.RapidGeneralizationLoss("mse", kml.losses.TaskLossVariance())
    rapid = type(rapid)("mse", kml.losses.TaskLossVariance(), lambda_weight=ramp)
    _, make, _, _ = MODELS["meta"]
    model = make(kml.MetaModel)
    model.compile(keras.optimizers.SGD(0.01), rapid)
    random = np.random.default_rng(0)
    x, y = (random.normal(size=(3, 8, n)).astype("float32") for n in (2, 1))
    episode = {"support_x": x, "support_y": y, "query_x": x}
    model.fit(episode, y, epochs=3, verbose=0)
    before = model.evaluate(episode, y, verbose=0)
    model.compile("sgd", rapid)
    assert model.evaluate(episode, y, verbose=0) == pytest.approx(before, rel=1e-6)
