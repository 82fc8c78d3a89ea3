"""Methods that are neither gradient- nor metric-based and use only the hooks."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_metaloss as kml


@keras.saving.register_keras_serializable(package="tests")
class HyperNetwork(kml.adaptation.Adaptation):
    """Computes the weights of the last layer from the mean of the support set."""

    uses_inner_loss = False

    def __init__(self, units=8, **kwargs):
        super().__init__(**kwargs)
        self.units = units

    def build_for(self, learner):
        super().build_for(learner)
        head = learner.trainable_variables[-2:]
        self.encoder = keras.layers.Dense(self.units, "tanh")
        self.encoder.build((None, learner.input_shape[-1] + learner.output_shape[-1]))
        self.generator = keras.layers.Dense(sum(int(np.prod(v.shape)) for v in head))
        self.generator.build((None, self.units))

    def adapt(self, task, inner_loss, *, training):
        assert inner_loss is None
        start = self.initial(task)
        pairs = tf.concat([task.support_x, task.support_y], axis=-1)
        weights = None if task.support_mask is None else task.support_mask
        codes = self.encoder(pairs)
        if weights is not None:
            codes = tf.boolean_mask(codes, weights)
        generated = self.generator(tf.reduce_mean(codes, axis=0, keepdims=True))[0]
        *body, kernel, bias = start.weights
        parts = tf.split(generated, [tf.size(kernel), tf.size(bias)])
        head = [tf.reshape(parts[0], kernel.shape), tf.reshape(parts[1], bias.shape)]
        return start._replace(weights=[*body, *head])

    def get_config(self):
        config = super().get_config()
        del config["loss"]
        return {**config, "units": self.units}


@keras.saving.register_keras_serializable(package="tests")
class Conditioned(keras.Model):
    """A decoder with the representation of one task."""

    def __init__(self, decoder, code, **kwargs):
        super().__init__(**kwargs)
        self.decoder = decoder
        self.code = [float(value) for value in np.asarray(code)]
        self.built = True

    def call(self, inputs):
        code = tf.ones([tf.shape(inputs)[0], 1]) * tf.constant([self.code])
        return self.decoder(tf.concat([inputs, code], axis=-1))

    def get_config(self):
        decoder = keras.saving.serialize_keras_object(self.decoder)
        return {"decoder": decoder, "code": self.code}

    @classmethod
    def from_config(cls, config):
        return cls(
            keras.saving.deserialize_keras_object(config["decoder"]), config["code"]
        )


@keras.saving.register_keras_serializable(package="tests")
class NeuralProcess(kml.adaptation.Adaptation):
    """Concatenates a representation of the support set to each input (CNP)."""

    uses_inner_loss = False

    def __init__(self, units=4, inputs=2, **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self.encoder = keras.layers.Dense(units, "tanh")
        self.encoder.build((None, inputs))
        self.inputs = inputs

    def adapt(self, task, inner_loss, *, training):
        pairs = tf.concat([task.support_x, task.support_y], axis=-1)
        code = tf.reduce_mean(self.encoder(pairs), axis=0)
        return self.initial(task)._replace(memory={"code": code})

    def predict(self, adapted, task, *, training):
        code = tf.ones([tf.shape(task.query_x)[0], 1]) * adapted.memory["code"]
        joined = tf.concat([task.query_x, code], axis=-1)
        task = task._replace(query_x=joined)
        return super().predict(adapted, task, training=training)

    def prediction_spec(self, query_x):
        shape = (*query_x.shape[:-1], query_x.shape[-1] + self.units)
        return super().prediction_spec(keras.KerasTensor(shape, query_x.dtype))

    def to_model(self, adapted, task):
        joined = tf.zeros([1, task.support_x.shape[-1] + self.units])
        task = task._replace(support_x=joined, query_x=joined)
        decoder = super().to_model(adapted, task)
        return Conditioned(decoder, adapted.memory["code"])

    def get_config(self):
        config = super().get_config()
        del config["loss"]
        return {**config, "units": self.units, "inputs": self.inputs}


def learner(inputs):
    return keras.Sequential(
        [
            keras.Input((inputs,)),
            keras.layers.Dense(16, "relu"),
            keras.layers.Dense(1),
        ]
    )


METHODS = {
    "hypernetwork": lambda: (learner(1), HyperNetwork()),
    "neural_process": lambda: (learner(5), NeuralProcess(4)),
}


def lines(seed=0, tasks=8, support=5, queries=6):
    """Lines through the origin with slopes between -2 and 2."""
    random = np.random.default_rng(seed)
    slopes = random.uniform(-2.0, 2.0, size=(tasks, 1, 1))
    support_x, query_x = (
        random.uniform(-1.0, 1.0, size=(tasks, n, 1)).astype("float32")
        for n in (support, queries)
    )
    episode = {
        "support_x": support_x,
        "support_y": (slopes * support_x).astype("float32"),
        "query_x": query_x,
    }
    return episode, (slopes * query_x).astype("float32")


def model(name, execution="auto", **arguments):
    keras.utils.set_random_seed(0)
    result = kml.MetaModel(*METHODS[name](), task_execution=execution)
    optimizer = keras.optimizers.Adam(0.01)
    result.compile(optimizer=optimizer, loss="mse", metrics=["mae"], **arguments)
    return result


@pytest.mark.parametrize("name", METHODS)
def test_trains_with_fit(name):
    trained = model(name)
    x, y = lines(tasks=64)
    before = trained.evaluate(*lines(1), verbose=0, return_dict=True)
    trained.fit(x, y, batch_size=16, epochs=60, verbose=0)
    after = trained.evaluate(*lines(1), verbose=0, return_dict=True)
    assert after["loss"] < 0.2 * before["loss"]
    assert {"mae", "mae_ci95"} <= set(after)


@pytest.mark.parametrize("name", METHODS)
def test_does_not_depend_on_task_execution(name):
    x, y = lines()
    results = []
    for execution in ("map", "vectorized", "unrolled"):
        trained = model(name, execution)
        trained.fit(x, y, epochs=2, verbose=0)
        results.append(trained.predict(x, verbose=0))
    np.testing.assert_allclose(results[0], results[1], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(results[0], results[2], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", METHODS)
def test_adapt_returns_a_plain_model(name, tmp_path):
    trained = model(name)
    x, y = lines()
    trained.fit(x, y, verbose=0)
    adapted = trained.adapt(x["support_x"][0], x["support_y"][0])
    expected = trained.predict(x, verbose=0)[0]
    np.testing.assert_allclose(adapted(x["query_x"][0]), expected, atol=1e-6)
    adapted.save(tmp_path / "adapted.keras")
    loaded = keras.models.load_model(tmp_path / "adapted.keras")
    np.testing.assert_allclose(loaded(x["query_x"][0]), expected, atol=1e-6)


@pytest.mark.parametrize("name", METHODS)
def test_saves_and_resumes(name, tmp_path):
    trained = model(name)
    x, y = lines()
    trained.fit(x, y, epochs=2, verbose=0)
    trained.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(
        loaded.predict(x, verbose=0), trained.predict(x, verbose=0)
    )
    assert loaded.train_on_batch(x, y) == trained.train_on_batch(x, y)


@pytest.mark.parametrize("name", METHODS)
def test_exports_adapt_and_predict(name, tmp_path):
    trained = model(name)
    x, y = lines()
    trained.fit(x, y, verbose=0)
    trained.export(str(tmp_path / "saved"), verbose=False)
    exported = tf.saved_model.load(str(tmp_path / "saved"))
    result = exported.signatures["adapt_and_predict_batch"](
        **{key: tf.constant(value) for key, value in x.items()}
    )
    np.testing.assert_allclose(
        result["output_0"], trained.predict(x, verbose=0), atol=1e-6
    )


def test_outer_step_is_the_same_task_by_task():
    x, y = lines()
    batched, single = model("hypernetwork", "map"), model("hypernetwork", "map")
    # Comparing tasks, with a weight of almost zero, forces the joint step.
    single.compile(
        keras.optimizers.Adam(0.01),
        kml.losses.RapidGeneralizationLoss("mse", kml.losses.TaskLossVariance(), 1e-12),
    )
    batched.fit(x, y, epochs=2, verbose=0)
    single.fit(x, y, epochs=2, verbose=0)
    for ours, theirs in zip(batched.get_weights(), single.get_weights(), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-6)
