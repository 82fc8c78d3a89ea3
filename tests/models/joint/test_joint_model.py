"""Tests of training, logs, saving and validation of `JointModel`."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_metaloss as kml
from tests.helpers.joint_models import (
    CROSS_ENTROPY,
    KINDS,
    OPTIMIZERS,
    assert_equal_arrays,
    data,
    joint_model,
    network,
    weight_values,
)
from tests.helpers.training import step_logs

Loss = kml.losses.MutualInformationLoss


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("logits", "normal"),
        ("probabilities", "value"),
        ("one-hot", "vector"),
        ("binary", "logits"),
    ],
)
def test_logs_of_classification_and_regression_tasks(a, b):
    x, y = data(a, b)
    logs = joint_model(a, b).train_on_batch(x, y, return_dict=True)
    expected = ["loss", "loss_a", "loss_b", "mutual_information"]
    assert sorted(logs) == ["entropy_a", "entropy_b", *expected]
    assert np.isfinite(list(logs.values())).all()
    total = logs["loss_a"] + logs["loss_b"] - logs["mutual_information"]
    assert logs["loss"] == pytest.approx(total, abs=1e-5)


@pytest.mark.slow
def test_two_regression_tasks():
    x, y = data("value", "normal")
    logs = joint_model("value", "normal").train_on_batch(x, y, return_dict=True)
    assert 0 < logs["mutual_information"] < np.log(24)


def test_train_step_matches_gradient_of_the_objective():
    """Compares one SGD step with a gradient tape around public functions."""
    x, y = data("logits", "value")
    model = joint_model(optimizer=keras.optimizers.SGD(0.5), beta=0.7)
    reference = joint_model(optimizer=keras.optimizers.SGD(0.5), beta=0.7)
    model.train_on_batch(x, y)
    with tf.GradientTape() as tape:
        a, b = (net(x) for net in reference.networks.values())
        cross_entropy = tf.reduce_mean(
            tf.nn.sparse_softmax_cross_entropy_with_logits(y["a"], a)
        )
        squares = tf.reduce_mean(tf.square(b[:, 0] - y["b"]))
        information = kml.information.mutual_information(
            *reference.loss.distributions((a, b)).values()
        )
        loss = cross_entropy + squares - 0.7 * information
    gradients = tape.gradient(loss, [w.value for w in reference.trainable_variables])
    for new, old, g in zip(
        weight_values(model), weight_values(reference), gradients, strict=True
    ):
        np.testing.assert_allclose(new, old - 0.5 * g.numpy(), atol=2e-6)


def alone(kind, index, x, y, epochs):
    units, loss, activation = KINDS[kind]
    model = network(units, activation, seed=10 * index)
    model.compile(optimizer="adam", loss=loss)
    model.fit(x, y, batch_size=8, epochs=epochs, shuffle=False, verbose=0)
    return model


def test_beta_zero_and_warmup_train_each_network_alone():
    x, y = data("logits", "value")
    singles = [
        alone(kind, i, x, target, 3)
        for i, (kind, target) in enumerate(
            zip(("logits", "value"), y.values(), strict=True)
        )
    ]
    expected = [w for model in singles for w in weight_values(model)]
    without = joint_model(beta=0)
    warming = joint_model(beta=1, warmup_epochs=3)
    for model in (without, warming):
        model.fit(x, y, batch_size=8, epochs=3, shuffle=False, verbose=0)
        assert_equal_arrays(weight_values(model), expected, atol=1e-6)
    assert int(warming.epochs_done) == 3
    for model in (without, warming):
        model.fit(x, y, batch_size=8, epochs=1, shuffle=False, verbose=0)
    difference = [
        np.abs(a - b).max()
        for a, b in zip(weight_values(without), weight_values(warming), strict=True)
    ]
    assert max(difference) > 1e-4


@pytest.mark.slow
def test_eager_graph_and_xla_agree():
    x, y = data("logits", "value")
    results = []
    for compiling in ({}, {"run_eagerly": True}, {"jit_compile": True}):
        model = joint_model(**compiling)
        weight = np.linspace(0.5, 1.5, len(x))
        logs = [step_logs(model, x, y, weight) for _ in range(3)]
        results.append((list(logs[-1].values()), weight_values(model)))
    for values, trained in results[1:]:
        np.testing.assert_allclose(values, results[0][0], atol=1e-5)
        assert_equal_arrays(trained, results[0][1], atol=1e-5)


def test_information_of_three_tasks_is_summed_over_pairs():
    x, y = data("logits", "value", "normal")
    model = joint_model(
        "logits", "value", "normal", pairs=[("a", "b"), ("c", "a")], beta=0.5
    )
    logs = model.train_on_batch(x, y, return_dict=True)
    pairs = logs["mutual_information_a_b"] + logs["mutual_information_c_a"]
    assert logs["mutual_information"] == pytest.approx(pairs, abs=1e-6)
    losses = sum(logs[f"loss_{name}"] for name in "abc")
    assert logs["loss"] == pytest.approx(losses - 0.5 * pairs, abs=1e-5)
    assert "entropy_c" in logs and "mutual_information_b_c" not in logs


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_training_continues_identically_after_loading(optimizer, tmp_path):
    ramp = keras.optimizers.schedules.PolynomialDecay(0.0, 20, 1.0)
    model = joint_model(
        "logits",
        "normal",
        optimizer=OPTIMIZERS[optimizer](),
        beta=ramp,
        warmup_epochs=1,
        metrics={"a": ["accuracy"]},
    )
    x, y = data("logits", "normal")
    model.fit(x, y, batch_size=8, epochs=2, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert int(loaded.loss.step) == 6 and int(loaded.epochs_done) == 2
    x, y = data("logits", "normal", seed=1)
    for _ in range(2):
        assert step_logs(model, x, y) == step_logs(loaded, x, y)
        assert_equal_arrays(weight_values(model), weight_values(loaded))
    assert model.evaluate(x, y, verbose=0) == loaded.evaluate(x, y, verbose=0)
    assert loaded.warmup_epochs == 1 and loaded.tasks == model.tasks


def test_weights_file_restores_model_and_optimizers(tmp_path):
    model = joint_model(optimizer=OPTIMIZERS["each"]())
    x, y = data("logits", "value")
    model.fit(x, y, verbose=0)
    model.save_weights(tmp_path / "joint.weights.h5")
    other = joint_model(optimizer=OPTIMIZERS["each"]())
    other.optimizer.build(other.trainable_variables)
    other.load_weights(tmp_path / "joint.weights.h5")
    assert step_logs(model, x, y) == step_logs(other, x, y)
    assert_equal_arrays(weight_values(model), weight_values(other))


def test_exported_model_matches_predictions(tmp_path):
    model = joint_model()
    x, y = data("logits", "value")
    model.fit(x, y, verbose=0)
    model.save(tmp_path / "model.keras")
    for name in ("trained", "loaded"):
        model.export(str(tmp_path / name), verbose=False)
        artifact = tf.saved_model.load(str(tmp_path / name))
        served = artifact.serve(x[:5])
        for task, outputs in model(x[:5]).items():
            np.testing.assert_allclose(served[task], outputs, atol=1e-6)
        model = keras.models.load_model(tmp_path / "model.keras")
    with pytest.raises(ValueError, match="`input_signature`.*has not seen any"):
        joint_model().export(str(tmp_path / "never"))


def test_regularization_losses_of_networks_are_added():
    regularized = keras.Sequential(
        [
            keras.Input((4,)),
            keras.layers.Dense(3, kernel_regularizer=keras.regularizers.L2(0.1)),
        ]
    )
    model = kml.JointModel(regularized, network(1))
    model.compile(loss=Loss(CROSS_ENTROPY, "mse", beta=0))
    x, y = data("logits", "value")
    logs = model.evaluate(x, y, verbose=0, return_dict=True)
    penalty = 0.1 * np.sum(np.square(regularized.layers[0].kernel.numpy()))
    expected = logs["loss_a"] + logs["loss_b"] + penalty
    assert logs["loss"] == pytest.approx(expected, abs=1e-5)


def test_losses_by_name_default_to_mutual_information_loss():
    model = kml.JointModel(network(3), network(1))
    model.compile(loss={"b": "mse", "a": CROSS_ENTROPY})
    assert isinstance(model.loss, Loss) and model.loss.beta == 1
    assert model.loss.tasks == ("a", "b")


@pytest.mark.parametrize("kind", ["labels", "probabilities", "inputs", "structure"])
def test_fit_validates_the_first_examples(kind):
    x, y = data("probabilities", "value")
    model = joint_model("probabilities", "value")
    if kind == "labels":
        y["a"][3] = 3
        message = "integer labels less than 3"
    elif kind == "inputs":
        x[2, 1] = np.nan
        message = "argument `x`"
    elif kind == "structure":
        y = y["a"]
        message = "argument `y`"
    else:
        model = kml.JointModel(network(3), network(1))  # logits
        model.compile(loss=("sparse_categorical_crossentropy", "mse"))
        message = "probabilities that sum to one"
    for given in ((x, y), (tf.data.Dataset.from_tensor_slices((x, y)).batch(8),)):
        with pytest.raises(ValueError, match=message) as error:
            model.fit(*given, verbose=0)
        assert "Received:" in str(error.value)


def test_invalid_arguments_raise():
    net = network(3)
    unbuilt = keras.Sequential([keras.layers.Dense(1)])
    two = keras.Model(net.inputs, [net.outputs[0], net.outputs[0]])
    for arguments, message in (
        ((net, None), "built Keras model"),
        ((net, unbuilt), "built Keras model"),
        (({"a": net},), "at least two"),
        ((net, two), "one output"),
        (({0: net, 1: network(1)},), r"strings.*\(0, 1\)"),
    ):
        with pytest.raises(ValueError, match=message):
            kml.JointModel(*arguments)
    with pytest.raises(ValueError, match="`warmup_epochs`"):
        kml.JointModel(net, network(1), warmup_epochs=-1)
    model = kml.JointModel(net, network(1))
    with pytest.raises(ValueError, match="`loss_a`.*strings"):
        Loss({0: "mse", 1: "mse"})
    with pytest.raises(ValueError, match="`loss`"):
        model.compile(loss="mse")
    with pytest.raises(ValueError, match="`loss`"):
        model.compile(loss=Loss({"x": "mse", "y": "mse"}))
    with pytest.raises(ValueError, match="`loss_weights`"):
        model.compile(loss=("mse", "mse"), loss_weights={"a": 2})
    focal = kml.losses.SparseCategoricalFocalLoss("learned", from_logits=True)
    with pytest.raises(ValueError, match="`loss`.*JointModel.*raw_gamma"):
        model.compile(loss=Loss(focal, "mse"))
    with pytest.raises(ValueError, match="shared variables"):
        kml.JointModel(net, net).compile({"a": "sgd", "b": "sgd"}, ("mse", "mse"))


@pytest.mark.slow
def test_two_replicas_match_one(mirrored):
    x, y = data("logits", "value", rows=16)
    # With identical halves, both replicas and the full batch have equal information.
    x, y = np.concatenate([x, x]), {k: np.concatenate([v, v]) for k, v in y.items()}
    batches = tf.data.Dataset.from_tensor_slices((x, y)).batch(32)
    results = []
    for strategy in (tf.distribute.get_strategy(), mirrored):
        with strategy.scope():
            model = joint_model(
                optimizer={"a": keras.optimizers.SGD(0.1), "b": "adam"},
                estimator={"bandwidth": 0.3},
                metrics={"a": ["accuracy"]},
                warmup_epochs=1,
                run_eagerly=strategy is not mirrored,
            )
        history = model.fit(batches, epochs=3, shuffle=False, verbose=0).history
        results.append((history, model.get_weights()))
    one, two = results
    for name, values in one[0].items():
        np.testing.assert_allclose(two[0][name], values, atol=1e-5, err_msg=name)
    for a, b in zip(one[1], two[1], strict=True):
        np.testing.assert_allclose(b, a, rtol=0, atol=1e-5)
