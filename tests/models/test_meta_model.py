"""Training, evaluation and adaptation of `MetaModel` with several learner types."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_metaloss as kml
from tests.helpers.meta_models import (
    classification_loss,
    conv_learner,
    conv_model,
    dense_learner,
    image_episodes,
    line_episodes,
    step_change,
)


def dataset(episodes, batches=3):
    data = tf.data.Dataset.from_tensors(episodes).repeat(batches)
    options = tf.data.Options()
    options.autotune.enabled = False
    return data.with_options(options)


def line_model(steps=1, rate=0.1, **arguments):
    keras.utils.set_random_seed(1)
    model = kml.MetaModel(
        dense_learner(), kml.adaptation.MAML(steps, rate), **arguments
    )
    model.compile(optimizer=keras.optimizers.Adam(0.01), loss="mse", metrics=["mae"])
    return model


def test_training_reduces_the_loss_on_new_lines():
    model = line_model()
    tasks = kml.tasks.FunctionTasks(
        lambda x, slope: slope * x, {"slope": (-2.0, 2.0)}, (-1.0, 1.0), 5, 10
    )
    test = tasks.dataset(50, batches=2, first_batch=10_000)
    before = model.evaluate(test, verbose=0, return_dict=True)["loss"]
    model.fit(tasks.dataset(8), steps_per_epoch=150, epochs=2, verbose=0)
    after = model.evaluate(test, verbose=0, return_dict=True)["loss"]
    assert after < 0.5 * before


def test_epoch_logs_are_means_over_batches():
    model = line_model()
    model.optimizer.learning_rate = 0.0
    first, second = line_episodes(seed=0), line_episodes(seed=1)
    losses = [
        model.evaluate(*e, verbose=0, return_dict=True)["loss"] for e in (first, second)
    ]
    both = tf.data.Dataset.from_tensors(first).concatenate(
        tf.data.Dataset.from_tensors(second)
    )
    history = model.fit(both, verbose=0).history
    np.testing.assert_allclose(history["loss"][0], np.mean(losses), rtol=1e-5)
    assert set(history) == {"loss", "mae"}


def test_evaluate_reports_confidence_intervals_over_tasks():
    model = conv_model()
    x, y = image_episodes(tasks=8)
    logits = model.predict(x, verbose=0)
    hits = (logits.argmax(-1) == y).mean(axis=1)
    results = model.evaluate(x, y, batch_size=3, verbose=0, return_dict=True)
    assert results["accuracy"] == pytest.approx(hits.mean(), abs=1e-6)
    expected = 1.96 * hits.std(ddof=1) / np.sqrt(8)
    assert results["accuracy_ci95"] == pytest.approx(expected, rel=1e-5)


def test_fit_reports_intervals_only_for_validation():
    model = line_model()
    data = dataset(line_episodes())
    history = model.fit(data, validation_data=data, epochs=2, verbose=0).history
    assert set(history) == {"loss", "mae", "val_loss", "val_mae", "val_mae_ci95"}


def test_call_matches_manual_adaptation():
    rate = 0.1
    model = line_model(steps=2, rate=rate)
    x, _ = line_episodes(tasks=1)
    learner = keras.models.clone_model(model.learner)
    learner.set_weights(model.learner.get_weights())
    learner.compile(optimizer=keras.optimizers.SGD(rate), loss="mse")
    for _ in range(2):
        learner.train_on_batch(x["support_x"][0], x["support_y"][0])
    expected = learner.predict(x["query_x"][0], verbose=0)
    np.testing.assert_allclose(model.predict(x, verbose=0)[0], expected, atol=1e-6)


@pytest.mark.parametrize("normalization", ["support", "batch", "moving", "per_step"])
def test_adapted_keras_model_predicts_like_call(normalization, tmp_path):
    model = conv_model(normalization=normalization, run_eagerly=True)
    x, y = image_episodes()
    model.fit(x, y, verbose=0)
    before = [v.numpy() for v in model.learner.variables]
    classifier = model.adapt(x["support_x"][1], x["support_y"][1])
    expected = model(x)[1]
    np.testing.assert_allclose(
        classifier.predict(x["query_x"][1], verbose=0), expected, atol=1e-6
    )
    for value, variable in zip(before, model.learner.variables, strict=True):
        np.testing.assert_array_equal(value, variable.numpy())
    classifier.save(tmp_path / "classifier.keras")
    loaded = keras.models.load_model(tmp_path / "classifier.keras")
    np.testing.assert_allclose(
        loaded.predict(x["query_x"][1], verbose=0), expected, atol=1e-6
    )


def test_only_batch_normalization_policy_is_transductive():
    x, _ = image_episodes()
    fewer = {**x, "query_x": x["query_x"][:, :4]}
    for normalization in ("support", "moving", "per_step"):
        model = conv_model(normalization=normalization)
        np.testing.assert_allclose(model(x)[:, :4], model(fewer), atol=1e-6)
    model = conv_model(normalization="batch")
    assert np.abs(model(x)[:, :4] - model(fewer)).max() > 1e-3


def test_per_step_normalization_has_parameters_per_step():
    x, _ = image_episodes()
    still = {"steps": 2, "learning_rate": 0.0}
    np.testing.assert_allclose(
        conv_model(normalization="per_step", **still)(x),
        conv_model(normalization="support", **still)(x),
        atol=1e-6,
    )
    model = conv_model(normalization="per_step", steps=2)
    shift = next(v for v in model.adaptation.variables if "beta" in v.path)
    for step in range(3):
        before = model(x)
        shift.assign(shift + (np.arange(3) == step)[:, np.newaxis])
        assert np.abs(model(x) - before).max() > 1e-3


def test_moving_statistics_are_updated_with_the_mean_over_tasks():
    model = conv_model(normalization="moving", steps=1, learning_rate=0.0)
    x, y = image_episodes()
    layer = model.learner.layers[1]
    features = model.learner.layers[0]
    means = [
        [features(task).numpy().mean(axis=(0, 1, 2)) for task in x[key]]
        for key in ("support_x", "query_x")
    ]
    expected = np.mean(
        0.01 * 0.99 * np.array(means[0]) + 0.01 * np.array(means[1]), axis=0
    )
    model.train_on_batch(x, y)
    np.testing.assert_allclose(
        layer.moving_mean.numpy(), expected, rtol=1e-4, atol=1e-7
    )


def test_padded_and_unpadded_tasks_give_equal_results():
    model = conv_model()
    x, y = image_episodes(tasks=2, support=6, queries=6)
    short = {k: v[:, :3] for k, v in x.items()}
    padded = {
        **x,
        "support_mask": np.arange(6)[None] < [[3], [3]],
        "query_mask": np.arange(6)[None] < [[3], [3]],
    }
    np.testing.assert_allclose(model(padded)[:, :3], model(short), atol=1e-6)
    results = [
        model.evaluate(e, t, verbose=0, return_dict=True)
        for e, t in ((padded, y), (short, y[:, :3]))
    ]
    for name in results[0]:
        assert results[0][name] == pytest.approx(results[1][name], abs=1e-5), name
    np.testing.assert_allclose(
        step_change(conv_model(), (padded, y)),
        step_change(conv_model(), (short, y[:, :3])),
        atol=1e-6,
    )


def test_masked_tasks_of_different_length_have_equal_weight():
    model = conv_model()
    x, y = image_episodes(tasks=2, queries=6)
    mask = np.arange(6)[None] < [[2], [6]]
    one_by_one = [
        model.evaluate(
            {k: v[t : t + 1, : 6 if k != "query_x" else length] for k, v in x.items()},
            y[t : t + 1, :length],
            verbose=0,
            return_dict=True,
        )
        for t, length in ((0, 2), (1, 6))
    ]
    assert one_by_one[0]["accuracy"] != one_by_one[1]["accuracy"]
    together = model.evaluate({**x, "query_mask": mask}, y, verbose=0, return_dict=True)
    for name in ("loss", "accuracy"):
        expected = np.mean([one[name] for one in one_by_one])
        assert together[name] == pytest.approx(expected, rel=1e-5), name


def assert_adapt_matches_call(learner):
    model = kml.MetaModel(learner, kml.adaptation.MAML(2, 0.1))
    model.compile(optimizer="sgd", loss="mse")
    x, _ = line_episodes()
    adapted = model.adapt(x["support_x"][0], x["support_y"][0])
    np.testing.assert_allclose(adapted(x["query_x"][0]), model(x)[0], atol=1e-6)


def test_adapt_keeps_layers_frozen_after_building():
    class Learner(keras.Model):
        def __init__(self):
            super().__init__()
            self.first, self.last = keras.layers.Dense(4), keras.layers.Dense(1)

        def call(self, x):
            return self.last(self.first(x))

        def get_config(self):
            return {}

    learner = Learner()
    learner(np.zeros((1, 1)))
    learner.first.trainable = False
    assert_adapt_matches_call(learner)


def test_adapt_copies_lambda_layers():
    layers = [keras.layers.Lambda(lambda t: 2 * t), keras.layers.Dense(1)]
    learner = keras.Sequential([keras.Input((1,)), *layers])
    assert_adapt_matches_call(learner)


def test_sample_weights_scale_the_losses_of_tasks():
    model = conv_model(optimizer=keras.optimizers.SGD(1.0))
    x, y = image_episodes(tasks=3)
    weight = np.array([1.0, 0.0, 0.0], "float32")
    results = model.evaluate(x, y, sample_weight=weight, verbose=0, return_dict=True)
    alone = model.evaluate(
        {k: v[:1] for k, v in x.items()}, y[:1], verbose=0, return_dict=True
    )
    penalty = float(sum(model.losses))
    assert results["loss"] - penalty == pytest.approx(
        (alone["loss"] - penalty) / 3, rel=1e-5
    )


def test_dropout_differs_between_tasks_steps_and_batches():
    seen = []

    @keras.saving.register_keras_serializable(package="tests")
    class Spy(keras.layers.Layer):
        def call(self, x):
            seen.append(x)
            return x

    learner = keras.Sequential(
        [keras.Input((64,)), keras.layers.Dropout(0.5), Spy(), keras.layers.Dense(1)]
    )
    model = kml.MetaModel(
        learner, kml.adaptation.MAML(2, 0.1), task_execution="unrolled"
    )
    model.compile(optimizer="sgd", loss="mse", run_eagerly=True)
    x = {
        "support_x": np.ones((2, 1, 64), "float32"),
        "support_y": np.ones((2, 1, 1), "float32"),
        "query_x": np.ones((2, 1, 64), "float32"),
    }
    y = np.ones((2, 1, 1), "float32")
    seen.clear()
    model.train_on_batch(x, y)
    model.train_on_batch(x, y)
    masks = {tuple(np.asarray(value[0] > 0)) for value in seen}
    assert len(seen) == 2 * 2 * 3
    assert len(masks) == len(seen)


@pytest.mark.parametrize("adaptation", ["maml", "prototypical"])
def test_frozen_layers_do_not_change_in_training(adaptation):
    learner = conv_learner()
    learner.layers[0].trainable = False
    method = {
        "maml": kml.adaptation.MAML(1, 0.1),
        "prototypical": kml.adaptation.PrototypicalNetwork(normalization="support"),
    }[adaptation]
    model = kml.MetaModel(learner, method)
    model.compile(optimizer="sgd", loss=classification_loss())
    written = {v.path.split("/")[-1] for v in method.state_variables()}
    assert written == {"moving_mean", "moving_variance"}
    before = [v.numpy() for v in learner.layers[0].variables]
    last = learner.layers[-1].kernel.numpy()
    model.train_on_batch(*image_episodes())
    for a, v in zip(before, learner.layers[0].variables, strict=True):
        np.testing.assert_array_equal(a, v.numpy())
    assert not np.array_equal(last, learner.layers[-1].kernel.numpy())


def test_losses_by_name_for_outputs_in_a_list():
    inputs = keras.Input((1,))
    hidden = keras.layers.Dense(4, "tanh")(inputs)
    second = keras.layers.Dense(1, name="b")(hidden)
    learner = keras.Model(inputs, [second, keras.layers.Dense(1, name="a")(hidden)])
    model = kml.MetaModel(learner, kml.adaptation.MAML(1, 0.1))
    model.compile(optimizer="sgd", loss={"a": "mse", "b": "mae"}, run_eagerly=True)
    x, y = line_episodes()
    x["support_y"] = {"a": 0 * x["support_y"], "b": 5 + x["support_y"]}
    losses = model.train_on_batch(x, {"a": 0 * y, "b": 5 + y}, return_dict=True)
    outputs = model(x)
    assert losses["b_loss"] > 10 * losses["a_loss"]
    assert np.mean(outputs[0]) > np.mean(outputs[1])
    adapted = model.adapt(
        x["support_x"][0], {k: v[0] for k, v in x["support_y"].items()}
    )
    expected = adapted.predict_on_batch(x["query_x"][0])
    np.testing.assert_allclose(outputs[0][0], expected[0], atol=1e-5)


@pytest.mark.parametrize("reduction", ["sum", "sum_over_batch_size"])
def test_task_execution_does_not_change_reductions(reduction):
    episodes = line_episodes()
    losses = []
    for execution in ("map", "vectorized"):
        keras.utils.set_random_seed(1)
        model = kml.MetaModel(
            dense_learner(), kml.adaptation.MAML(1, 0.1), task_execution=execution
        )
        model.compile(
            loss=kml.losses.RapidGeneralizationLoss("mse", None, reduction=reduction),
            run_eagerly=True,
        )
        losses.append(float(model.train_on_batch(*episodes)))
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


def test_dropout_works_in_every_task_execution():
    x, y = image_episodes()
    for execution in ("map", "unrolled"):
        model = kml.MetaModel(
            conv_learner(dropout=0.5),
            kml.adaptation.MAML(1, 0.1),
            task_execution=execution,
        )
        model.compile(optimizer="sgd", loss=classification_loss())
        assert np.isfinite(model.train_on_batch(x, y))
        np.testing.assert_allclose(model(x), model(x))


@keras.saving.register_keras_serializable(package="tests")
class SubclassedLearner(keras.Model):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.hidden = keras.layers.Dense(4, "tanh")
        self.normalization = keras.layers.BatchNormalization()
        self.head = keras.layers.Dense(1)

    def call(self, x, training=None):
        return self.head(self.normalization(self.hidden(x), training=training))


def test_subclassed_learner(tmp_path):
    x, y = line_episodes()
    learner = SubclassedLearner()
    learner(x["query_x"][0])
    model = kml.MetaModel(learner, kml.adaptation.MAML(1, 0.1))
    model.compile(optimizer="adam", loss="mse")
    model.fit(x, y, verbose=0)
    np.testing.assert_allclose(
        model.adapt(x["support_x"][0], x["support_y"][0])(x["query_x"][0]),
        model(x)[0],
        atol=1e-6,
    )
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(loaded(x), model(x), atol=1e-7)


def two_by_two_learner():
    a, b = keras.Input((3,), name="a"), keras.Input((2,), name="b")
    joined = keras.layers.Concatenate()([a, b])
    hidden = keras.layers.Dense(5, "tanh")(joined)
    outputs = {
        "kind": keras.layers.Dense(4, name="kind")(hidden),
        "value": keras.layers.Dense(1, name="value")(hidden),
    }
    return keras.Model({"a": a, "b": b}, outputs)


def test_multiple_inputs_and_outputs(tmp_path):
    rng = np.random.default_rng(0)

    def inputs(n):
        return {
            "a": rng.normal(size=(2, n, 3)).astype("float32"),
            "b": rng.normal(size=(2, n, 2)).astype("float32"),
        }

    def targets(n):
        return {
            "kind": rng.integers(0, 4, (2, n)),
            "value": rng.normal(size=(2, n, 1)).astype("float32"),
        }

    x = {"support_x": inputs(6), "support_y": targets(6), "query_x": inputs(5)}
    y = targets(5)
    model = kml.MetaModel(two_by_two_learner(), kml.adaptation.MAML(2, 0.1))
    model.compile(
        optimizer="adam",
        loss={"kind": classification_loss(), "value": "mse"},
        loss_weights={"kind": 1.0, "value": 0.5},
        metrics={"kind": ["accuracy"], "value": ["mae"]},
    )
    history = model.fit(x, y, epochs=2, verbose=0).history
    assert {"loss", "kind_loss", "value_loss", "kind_accuracy"} <= set(history)
    results = model.evaluate(x, y, verbose=0, return_dict=True)
    assert {"kind_accuracy_ci95", "value_mae_ci95"} <= set(results)
    adapted = model.adapt(
        *(
            keras.tree.map_structure(lambda v: v[0], x[key])
            for key in ("support_x", "support_y")
        )
    )
    query = keras.tree.map_structure(lambda v: v[0], x["query_x"])
    for name, value in adapted(query).items():
        np.testing.assert_allclose(value, model(x)[name][0], atol=1e-6)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(loaded(x)["kind"], model(x)["kind"], atol=1e-7)


def test_inner_loss_may_differ_from_the_outer_loss():
    x, _ = line_episodes(tasks=1)
    model = kml.MetaModel(dense_learner(), kml.adaptation.MAML(1, 0.1, loss="mae"))
    model.compile(optimizer="sgd", loss="mse")
    learner = keras.models.clone_model(model.learner)
    learner.set_weights(model.learner.get_weights())
    learner.compile(optimizer=keras.optimizers.SGD(0.1), loss="mae")
    learner.train_on_batch(x["support_x"][0], x["support_y"][0])
    np.testing.assert_allclose(model(x)[0], learner(x["query_x"][0]), atol=1e-6)


def test_evaluation_steps_apply_only_to_evaluation():
    x, _ = line_episodes()
    short = kml.MetaModel(
        dense_learner(), kml.adaptation.MAML(1, 0.1, evaluation_steps=3)
    )
    long = kml.MetaModel(dense_learner(), kml.adaptation.MAML(3, 0.1))
    long.learner.set_weights(short.learner.get_weights())
    for model in (short, long):
        model.compile(optimizer="sgd", loss="mse")
    np.testing.assert_allclose(short(x), long(x), atol=1e-6)
    assert np.abs(short(x, training=True) - long(x, training=True)).max() > 1e-4


def test_equal_shapes_are_not_retraced():
    model = line_model()
    traces = []
    original = model.adaptation.adapt

    def adapt(*args, **kwargs):
        traces.append(1)
        return original(*args, **kwargs)

    model.adaptation.adapt = adapt
    model.fit(dataset(line_episodes(seed=0)), epochs=2, verbose=0)
    count = len(traces)
    model.fit(dataset(line_episodes(seed=1)), epochs=2, verbose=0)
    assert len(traces) == count


def test_mixed_precision_keeps_the_inner_loop_in_float32():
    keras.config.set_dtype_policy("mixed_bfloat16")
    model = kml.MetaModel(dense_learner(), kml.adaptation.MAML(1, 0.1))
    model.compile(optimizer="adam", loss="mse")
    x, y = line_episodes()
    model.fit(x, y, verbose=0)
    task = kml.adaptation.Task(
        x["support_x"][0],
        x["support_y"][0],
        x["query_x"][0],
        None,
        None,
        tf.constant(0),
    )
    adapted = model.adaptation.adapt(task, model._inner_loss(), training=True)
    assert {w.dtype for w in adapted.weights} == {tf.float32}
    assert model(x).dtype == tf.bfloat16


@pytest.mark.parametrize("execution", ["auto", "map"])
def test_outer_loss_receives_the_gradients_of_tasks(execution):
    model = kml.MetaModel(
        dense_learner(), kml.adaptation.MAML(1, 0.1), task_execution=execution
    )
    term = kml.losses.TaskSimilarityLoss("gradient")
    loss = kml.losses.RapidGeneralizationLoss("mse", term, lambda_weight=1.0)
    model.compile(optimizer="sgd", loss=loss)
    x, y = line_episodes()
    gradients = []
    for t in range(len(y)):
        with tf.GradientTape() as tape:
            value = tf.reduce_mean(
                tf.square(model.learner(x["support_x"][t]) - x["support_y"][t])
            )
        flat = tape.gradient(value, model.learner.trainable_variables)
        gradients.append(np.concatenate([np.ravel(g) for g in flat]))
    unit = np.array([g / np.linalg.norm(g) for g in gradients])
    cosines = (unit @ unit.T)[~np.eye(len(unit), dtype=bool)]
    intra = np.mean((model.predict(x, verbose=0) - y) ** 2)
    results = model.evaluate(x, y, verbose=0, return_dict=True)
    assert results["loss"] == pytest.approx(intra + 1 - cosines.mean(), rel=1e-4)
    before = model.learner.get_weights()
    model.fit(x, y, verbose=0)
    assert any(
        np.any(a != b) for a, b in zip(before, model.learner.get_weights(), strict=True)
    )


def test_scheduled_weight_follows_optimizer_iterations():
    ramp = keras.optimizers.schedules.PolynomialDecay(0.0, 4, end_learning_rate=1.0)
    loss = kml.losses.RapidGeneralizationLoss(
        "mse", kml.losses.TaskLossVariance(), lambda_weight=ramp
    )
    model = kml.MetaModel(dense_learner(), kml.adaptation.MAML(1, 0.1))
    model.compile(optimizer="sgd", loss=loss)
    data = dataset(line_episodes(), batches=2)
    model.fit(data, verbose=0)
    assert int(loss.step) == 2
    model.evaluate(data, verbose=0)
    assert int(loss.step) == 2


def test_task_execution_report_states_the_reason():
    assert "Conv2D" in conv_model().task_execution_report()
    assert "'vectorized'" in line_model().task_execution_report()
    assert (
        "Requested explicitly"
        in line_model(task_execution="map").task_execution_report()
    )
