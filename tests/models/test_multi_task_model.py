"""`MultiTaskModel`: training, logs, saving and invalid arguments."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_metaloss as kml
from tests.helpers.multi_task_models import (
    WEIGHTINGS,
    all_variables,
    batch,
    losses,
    multi_task_model,
    network,
)

W = kml.losses.weighting
SLOW = pytest.mark.slow
TASKS = ("kind", "sign", "size")  # sorted


def some_slow(*quick):
    """Returns all weightings; those not named are marked as slow."""
    return [m if m in quick else pytest.param(m, marks=SLOW) for m in WEIGHTINGS]


def task_gradients(model, x, y):
    """Computes each task's gradients of the network's trainable variables."""
    result = {}
    for task in TASKS:
        loss = keras.losses.get(losses()[task])
        with tf.GradientTape() as tape:
            value = loss(y[task], model.model(x)[task])
            if task == "size":
                value = tf.reduce_mean(value)
        variables = model.model.trainable_variables
        result[task] = tape.gradient(value, variables)
    return result


def sgd_change(model, x, y):
    """Returns the negative change of each network variable after one step."""
    before = [v.numpy() for v in model.model.trainable_variables]
    model.train_on_batch(x, y)
    return [
        b - v.numpy()
        for b, v in zip(before, model.model.trainable_variables, strict=True)
    ]


@pytest.mark.parametrize("method", sorted(set(WEIGHTINGS) - {"rlw", "pcgrad"}))
def test_step_is_the_weighted_sum_of_task_gradients(method):
    x, y = batch()
    model = multi_task_model(method, keras.optimizers.SGD(1.0), run_eagerly=True)
    gradients = task_gradients(model, x, y)
    # The trunk and the layer of two tasks are shared; the heads are not.
    shared = [
        i for i, v in enumerate(model.model.trainable_variables) if "head" not in v.path
    ]
    assert len(shared) == 4
    flat = {
        t: np.concatenate(
            [
                np.zeros(model.model.trainable_variables[i].shape).ravel()
                if gradients[t][i] is None
                else gradients[t][i].numpy().ravel()
                for i in shared
            ]
        )
        for t in TASKS
    }
    matrix = np.stack([flat[t] for t in TASKS])
    values = [
        float(np.mean(keras.losses.get(losses()[t])(y[t], model.model(x)[t])))
        for t in TASKS
    ]
    reference = WEIGHTINGS[method]()
    reference.build_for(TASKS)
    weights = reference.compute_weights(
        tf.constant(values, "float32"), tf.constant(matrix @ matrix.T, "float32")
    )
    change = sgd_change(model, x, y)
    for index, variable in enumerate(model.model.trainable_variables):
        factors = weights.shared if index in shared else weights.specific
        expected = sum(
            float(w) * gradients[t][index].numpy()
            for w, t in zip(factors, TASKS, strict=True)
            if gradients[t][index] is not None
        )
        np.testing.assert_allclose(
            change[index], expected, rtol=2e-3, atol=1e-5, err_msg=variable.path
        )


def test_equal_weights_match_keras_training():
    x, y = batch(32)
    model = multi_task_model(None, regularizer=True)
    keras.utils.set_random_seed(1)
    plain = network(keras.regularizers.L2(0.01))
    plain.compile(keras.optimizers.Adam(0.01), losses(), metrics={"kind": ["accuracy"]})
    plain.set_weights(model.model.get_weights())
    ours = model.fit(x, y, batch_size=8, epochs=2, shuffle=False, verbose=0).history
    theirs = plain.fit(x, y, batch_size=8, epochs=2, shuffle=False, verbose=0).history
    for name, values in theirs.items():
        np.testing.assert_allclose(ours[name], values, rtol=1e-5, err_msg=name)
    for a, b in zip(model.model.get_weights(), plain.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)
    mine = model.evaluate(x, y, verbose=0, return_dict=True)
    for name, value in plain.evaluate(x, y, verbose=0, return_dict=True).items():
        assert mine[name] == pytest.approx(value, rel=1e-5), name


@pytest.mark.parametrize("method", WEIGHTINGS)
def test_evaluation_does_not_change_state(method):
    x, y = batch()
    model = multi_task_model(method, run_eagerly=True)
    model.fit(x, y, verbose=0)
    before = all_variables(model)
    results = model.evaluate(x, y, verbose=0, return_dict=True)
    assert set(results) == {
        "loss",
        "kind_accuracy",
        "kind_loss",
        "sign_loss",
        "size_loss",
    }
    model.test_on_batch(x, y)
    model.predict(x, verbose=0)
    for a, b in zip(before, all_variables(model), strict=True):
        np.testing.assert_array_equal(a, b)
    assert results == model.evaluate(x, y, verbose=0, return_dict=True)


@pytest.mark.parametrize("method", some_slow("dwa", "gradnorm", "imtl", "rlw"))
def test_training_after_loading_is_bitwise_equal(method, tmp_path):
    x, y = batch()
    model = multi_task_model(method, run_eagerly=method != "imtl")
    model.fit(x, y, batch_size=6, epochs=2, verbose=0)
    model.train_on_batch(x, y)  # in the middle of an epoch
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    for a, b in zip(all_variables(model), all_variables(loaded), strict=True):
        np.testing.assert_array_equal(a, b)
    x, y = batch(seed=1)
    for one in (model, loaded):
        one.fit(x, y, batch_size=6, shuffle=False, verbose=0)
    for a, b in zip(all_variables(model), all_variables(loaded), strict=True):
        np.testing.assert_array_equal(a, b)
    assert loaded.weighting.get_config() == model.weighting.get_config()
    assert loaded.weighting.tasks == model.weighting.tasks == TASKS


@pytest.mark.parametrize("method", some_slow("uncertainty", "imtl", "cagrad"))
def test_eager_graph_and_xla_agree(method):
    x, y = batch()
    results = []
    for compiling in ({"run_eagerly": True}, {}, {"jit_compile": True}):
        model = multi_task_model(method, keras.optimizers.SGD(0.1), **compiling)
        model.train_on_batch(x, y)
        logs = model.train_on_batch(x, y, return_dict=True)
        results.append((logs, [np.asarray(v) for v in model.variables]))
    (logs, variables), *others = results
    for other_logs, other_variables in others:
        for name, value in logs.items():
            assert other_logs[name] == pytest.approx(value, rel=1e-3), name
        for a, b in zip(variables, other_variables, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("method", some_slow("gls", "gradnorm", "mgda"))
def test_every_weighting_reduces_every_loss(method):
    x, y = batch(32)
    model = multi_task_model(method, keras.optimizers.Adam(0.05), run_eagerly=True)
    first = model.test_on_batch(x, y, return_dict=True)
    for _ in range(12):
        logs = model.train_on_batch(x, y, return_dict=True)
        model.weighting.end_epoch()
    last = model.test_on_batch(x, y, return_dict=True)
    for task in TASKS:
        assert last[f"{task}_loss"] < 0.95 * first[f"{task}_loss"], task
        assert np.isfinite(logs[f"{task}_weight"])


def test_dynamic_weight_average_uses_epochs_of_fit():
    x, y = batch(24)
    model = multi_task_model("dwa")
    history = model.fit(x, y, batch_size=8, epochs=4, validation_data=(x, y), verbose=0)
    shown = {k: np.array(v) for k, v in history.history.items()}
    for task in TASKS:
        np.testing.assert_allclose(shown[f"{task}_weight"][:2], 1.0)
        assert f"val_{task}_weight" not in shown
    for epoch in (2, 3):
        ratio = np.array(
            [
                shown[f"{t}_loss"][epoch - 1] / shown[f"{t}_loss"][epoch - 2]
                for t in TASKS
            ]
        )
        expected = 3 * np.exp(ratio / 2) / np.exp(ratio / 2).sum()
        found = [shown[f"{t}_weight"][epoch] for t in TASKS]
        np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_checkpoint_at_end_of_epoch_resumes_training(tmp_path):
    x, y = batch(24)
    path = str(tmp_path / "{epoch}.keras")
    model = multi_task_model("dwa")
    save = keras.callbacks.ModelCheckpoint(path)
    model.fit(x, y, batch_size=8, epochs=4, shuffle=False, callbacks=save, verbose=0)
    loaded = keras.models.load_model(tmp_path / "3.keras")
    loaded.fit(x, y, batch_size=8, epochs=1, shuffle=False, verbose=0)
    for a, b in zip(all_variables(model), all_variables(loaded), strict=True):
        np.testing.assert_array_equal(a, b)


def test_gradnorm_uses_the_named_shared_layer():
    x, y = batch()
    model = multi_task_model("gradnorm", keras.optimizers.SGD(0.1), shared=["trunk"])
    gradients = task_gradients(model, x, y)
    norms = np.array(
        [np.sqrt(sum((g.numpy() ** 2).sum() for g in gradients[t][:2])) for t in TASKS]
    )
    model.train_on_batch(x, y)
    stepped = 1 - 0.025 * np.sign(norms - norms.mean()) * norms / norms.mean()
    np.testing.assert_allclose(
        model.weighting.task_weights, 3 * stepped / stepped.sum(), rtol=1e-4
    )


@pytest.mark.parametrize("by", ["name", "variable"])
def test_shared_parameters_can_be_named(by, tmp_path):
    x, y = batch()
    model = multi_task_model("mgda", keras.optimizers.SGD(1.0))
    named = ["trunk"] if by == "name" else model.model.get_layer("trunk").variables
    keras.utils.set_random_seed(1)
    model = kml.MultiTaskModel(model.model, WEIGHTINGS["mgda"](), shared=named)
    model.compile(keras.optimizers.SGD(1.0), losses())
    gradients = task_gradients(model, x, y)
    change = sgd_change(model, x, y)
    # The layer of two tasks is now specific and gets the unweighted sum.
    index = [v.path for v in model.model.trainable_variables].index("both/kernel")
    expected = gradients["kind"][index] + gradients["size"][index]
    np.testing.assert_allclose(change[index], expected, rtol=1e-4, atol=1e-6)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert model.train_on_batch(x, y) == loaded.train_on_batch(x, y)
    for a, b in zip(all_variables(model), all_variables(loaded), strict=True):
        np.testing.assert_array_equal(a, b)


def test_frozen_parameters_do_not_change():
    x, y = batch()
    model = multi_task_model("pcgrad")
    model.model.get_layer("both").trainable = False
    model.compile("sgd", losses())
    before = model.model.get_layer("both").get_weights()
    model.train_on_batch(x, y)
    for a, b in zip(before, model.model.get_layer("both").get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


# Sample weights


@pytest.mark.parametrize("method", WEIGHTINGS)
def test_missing_labels_do_not_change_the_head(method):
    x, y = batch()
    weight = {task: np.ones(12, "float32") for task in TASKS}
    weight["size"][:] = 0.0
    model = multi_task_model(method, keras.optimizers.SGD(0.1), run_eagerly=True)
    head = model.model.get_layer("size_head").get_weights()
    logs = model.train_on_batch(x, y, sample_weight=weight, return_dict=True)
    assert logs["size_loss"] == 0.0
    for a, b in zip(
        head, model.model.get_layer("size_head").get_weights(), strict=True
    ):
        np.testing.assert_array_equal(a, b)
    assert all(np.isfinite(v).all() for v in all_variables(model))


def test_sample_weights_per_task_and_for_all_tasks():
    x, y = batch()
    rng = np.random.default_rng(0)
    weight = {task: rng.uniform(size=12).astype("float32") for task in TASKS}
    model = multi_task_model("pcgrad")
    found = model.test_on_batch(x, y, sample_weight=weight, return_dict=True)
    y_pred = model.model(x)
    for task in TASKS:
        expected = keras.losses.get(losses()[task])
        if task == "size":
            expected = keras.losses.MeanSquaredError()
        value = float(expected(y[task], y_pred[task], weight[task]))
        assert found[f"{task}_loss"] == pytest.approx(value, rel=1e-5)
    one = {task: weight["kind"] for task in TASKS}
    assert model.test_on_batch(x, y, sample_weight=weight["kind"]) == pytest.approx(
        model.test_on_batch(x, y, sample_weight=one)
    )


# Model types


@keras.saving.register_keras_serializable(package="tests")
class TwoHeads(keras.Model):
    """Subclassed model with a dictionary of outputs and no `training` argument."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.trunk = keras.layers.Dense(5, "tanh")
        self.a = keras.layers.Dense(1)
        self.b = keras.layers.Dense(1)

    def call(self, x):
        h = self.trunk(x)
        return {"a": self.a(h), "b": self.b(h)}


@pytest.mark.parametrize("named", [False, True])
def test_subclassed_model(named, tmp_path):
    x, y = batch()
    targets = {"a": y["size"], "b": y["sign"]}
    net = TwoHeads()
    net(x)
    shared = net.trunk.trainable_variables if named else None
    model = kml.MultiTaskModel(net, W.PCGrad(), shared=shared)
    model.compile("adam", {"a": "mse", "b": "mse"})
    model.fit(x, targets, epochs=2, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert model.train_on_batch(x, targets) == loaded.train_on_batch(x, targets)
    for a, b in zip(all_variables(model), all_variables(loaded), strict=True):
        np.testing.assert_array_equal(a, b)


def test_functional_model_with_a_list_of_outputs():
    x, y = batch()
    inputs = keras.Input((4,))
    hidden = keras.layers.Dense(5)(inputs)
    net = keras.Model(
        inputs,
        [
            keras.layers.Dense(1, name="size")(hidden),
            keras.layers.Dense(3, name="kind")(hidden),
        ],
    )
    model = kml.MultiTaskModel(net, W.IMTL())
    model.compile("sgd", {"kind": losses()["kind"], "size": "mse"})
    ones = np.ones(12)
    as_list = model.test_on_batch(
        x, [y["size"], y["kind"]], sample_weight=[ones, 0 * ones], return_dict=True
    )
    as_dict = model.test_on_batch(
        x,
        {"size": y["size"], "kind": y["kind"]},
        sample_weight={"size": ones, "kind": 0 * ones},
        return_dict=True,
    )
    assert as_list == as_dict
    assert as_dict["kind_loss"] == 0.0 and as_dict["size_loss"] > 0
    assert sorted(model.predict(x, verbose=0)) == ["kind", "size"]


def test_output_without_a_loss_is_not_a_task():
    x, y = batch()
    model = kml.MultiTaskModel(network(), W.MGDA())
    model.compile("sgd", {"kind": losses()["kind"], "size": "mse", "sign": None})
    head = model.model.get_layer("sign_head").get_weights()
    with pytest.warns(UserWarning, match="Gradients do not exist"):
        logs = model.train_on_batch(
            x, {"kind": y["kind"], "size": y["size"]}, return_dict=True
        )
    assert model.weighting.tasks == ("kind", "size") and "sign_loss" not in logs
    for a, b in zip(
        head, model.model.get_layer("sign_head").get_weights(), strict=True
    ):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
@pytest.mark.parametrize("method", ["uncertainty", "gradnorm", "pcgrad", "cagrad"])
def test_mixed_precision_reduces_the_loss(method, policy):
    keras.config.set_dtype_policy(policy)
    x, y = batch()
    model = multi_task_model(method, keras.optimizers.SGD(0.01), run_eagerly=True)
    first = model.train_on_batch(x, y, return_dict=True)["size_loss"]
    for _ in range(10):
        last = model.train_on_batch(x, y, return_dict=True)["size_loss"]
    assert last < first
    assert not any("16" in v.dtype for v in model.weighting.weights)


def test_loss_scaling_does_not_change_the_step():
    x, y = batch()
    changes = []
    for optimizer in (
        keras.optimizers.SGD(0.1),
        keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(0.1)),
    ):
        model = multi_task_model("imtl", optimizer, regularizer=True)
        model.train_on_batch(x, y)
        changes.append([np.asarray(v) for v in model.trainable_variables])
    for a, b in zip(*changes, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)


def test_training_in_float64():
    keras.config.set_floatx("float64")
    x, y = batch()
    model = multi_task_model("cagrad")
    model.train_on_batch(x, y)
    assert model.model.trainable_variables[0].dtype == "float64"


def test_exported_model_matches_predict(tmp_path):
    x, y = batch()
    model = multi_task_model("pcgrad")
    model.train_on_batch(x, y)
    model.export(str(tmp_path / "saved"), verbose=False)
    loaded = tf.saved_model.load(str(tmp_path / "saved"))
    served = loaded.serve(x)
    for name, value in model.predict(x, verbose=0).items():
        np.testing.assert_allclose(served[name], value, atol=1e-6)


def test_clone_and_weights_file(tmp_path):
    x, y = batch()
    model = multi_task_model("uncertainty")
    model.train_on_batch(x, y)
    model.save_weights(tmp_path / "model.weights.h5")
    other = multi_task_model("uncertainty")
    other.optimizer.build(other.trainable_variables)
    other.load_weights(tmp_path / "model.weights.h5")
    for a, b in zip(all_variables(model), all_variables(other), strict=True):
        np.testing.assert_array_equal(a, b)
    clone = keras.models.clone_model(model)
    assert clone.weighting.get_config() == model.weighting.get_config()
    assert clone(x)["kind"].shape == (12, 3)


# Errors


def compiled(loss, net=None, **arguments):
    model = kml.MultiTaskModel(network() if net is None else net, W.PCGrad())
    model.compile("sgd", loss, **arguments)
    return model


def one_output():
    x = keras.Input((4,))
    return keras.Model(x, keras.layers.Dense(1)(x))


def nothing_shared():
    x = keras.Input((4,))
    return keras.Model(
        x, {"a": keras.layers.Dense(1)(x), "b": keras.layers.Dense(1)(x)}
    )


def used():
    weighting = W.PCGrad()
    kml.MultiTaskModel(network(), weighting).compile("sgd", losses())
    return kml.MultiTaskModel(network(), weighting)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: compiled("mse"), "`loss`.*dictionary.*loss='mse'"),
        (lambda: compiled(["mse"] * 3), "`loss`.*dictionary"),
        (lambda: compiled(None), "`loss`.*dictionary.*loss=None"),
        (lambda: compiled({"kind": "mse", "color": "mse"}), "unknown names.*color"),
        (lambda: compiled({"kind": "mse"}), "`loss`.*at least two"),
        (lambda: compiled({**losses(), "kind": 3}), "`loss`.*loss=3"),
        (
            lambda: compiled(losses(), loss_weights={"kind": 2.0}),
            "`loss_weights`.*FixedWeighting",
        ),
        (lambda: kml.MultiTaskModel(one_output()), "several named outputs"),
        (
            lambda: kml.MultiTaskModel(
                keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
            ),
            "several named outputs",
        ),
        (lambda: kml.MultiTaskModel("net"), "`model`.*built Keras model"),
        (lambda: kml.MultiTaskModel(TwoHeads()), "`model`.*built Keras model"),
        (lambda: kml.MultiTaskModel(network(), "pcgrad"), "`weighting`.*'pcgrad'"),
        (used, "`weighting`.*new object"),
        (
            lambda: kml.MultiTaskModel(network(), shared=["stem"]),
            "`shared`.*trunk.*'stem'",
        ),
        (lambda: kml.MultiTaskModel(network(), shared="trunk"), "`shared`.*list"),
        (
            lambda: kml.MultiTaskModel(network(), shared=network().weights),
            "`shared`.*variables of the model",
        ),
    ],
)
def test_invalid_arguments(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_invalid_first_batch_raises():
    x, y = batch()
    targets = {"a": y["size"], "b": y["sign"]}
    mse = {"a": "mse", "b": "mse"}
    with pytest.raises(ValueError, match="at least two tasks share.*Received: none"):
        compiled(mse, nothing_shared()).train_on_batch(x, targets)
    with pytest.raises(ValueError, match="`y`.*each task.*without.*'sign'"):
        y_less = {k: v for k, v in y.items() if k != "sign"}
        compiled(losses()).train_on_batch(x, y_less)
    with pytest.raises(ValueError, match="`y` to be a dictionary by output name"):
        compiled(losses()).train_on_batch(x, [y["kind"], y["size"], y["sign"]])
    net = TwoHeads()
    net(x)
    with pytest.raises(ValueError, match="`outputs`.*without.*'c'"):
        compiled({**mse, "c": "mse"}, net).train_on_batch(
            x, {**targets, "c": y["size"]}
        )
    vector = {**losses(), "size": keras.losses.MeanSquaredError(reduction=None)}
    with pytest.raises(
        ValueError, match="`loss`.*scalar for task 'size'.*reduction='?None"
    ):
        compiled(vector).train_on_batch(x, y)
    model = kml.MultiTaskModel(network(), W.PCGrad(), shared=["sign_head"])
    model.model.get_layer("sign_head").trainable = False
    model.compile("sgd", losses())
    with pytest.raises(ValueError, match="named in `shared`"):
        model.train_on_batch(x, y)


def test_loss_with_trainable_parameters_raises():
    focal = kml.losses.SparseCategoricalFocalLoss("learned", from_logits=True)
    model = kml.MultiTaskModel(network(), kml.losses.weighting.PCGrad())
    with pytest.raises(ValueError, match="`loss`.*MultiTaskModel.*raw_gamma"):
        model.compile(loss={**losses(), "kind": focal})


def test_lambda_as_loss():
    model = kml.MultiTaskModel(network(), kml.losses.weighting.PCGrad())
    model.compile("sgd", {**losses(), "size": lambda t, p: tf.abs(t - p)})
    assert np.isfinite(model.train_on_batch(*batch())).all()
