"""Tests that parameters of a loss are trained, saved and never silently ignored."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_metaloss as kml
from tests.helpers.training import step_logs


class MySequential(kml.models.TrainableLossMixin, keras.Sequential):
    pass


class MyFunctional(kml.models.TrainableLossMixin, keras.Model):
    pass


@keras.saving.register_keras_serializable(package="tests")
class Plain(keras.Model):
    """Subclassed model that is built by its first batch."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.hidden = keras.layers.Dense(4, "tanh")
        self.out = keras.layers.Dense(3)

    def call(self, inputs):
        return self.out(self.hidden(inputs))


@keras.saving.register_keras_serializable(package="tests")
class MySubclass(kml.models.TrainableLossMixin, Plain):
    pass


def layers():
    return [
        keras.Input((2,)),
        keras.layers.Dense(4, "tanh"),
        keras.layers.Dense(3, name="out"),
    ]


def functional(cls=keras.Model):
    first, *rest = layers()
    tensor = first
    for layer in rest:
        tensor = layer(tensor)
    return cls(first, tensor)


MODELS = {
    "wrapped_functional": lambda: kml.AdaptiveLossModel(functional()),
    "wrapped_sequential": lambda: kml.AdaptiveLossModel(keras.Sequential(layers())),
    "wrapped_subclass": lambda: kml.AdaptiveLossModel(Plain()),
    "functional": lambda: functional(MyFunctional),
    "sequential": lambda: MySequential(layers()),
    "subclass": lambda: MySubclass(),
}
PLAIN = {
    "functional": functional,
    "sequential": lambda: keras.Sequential(layers()),
    "subclass": Plain,
}


def focal():
    return kml.losses.SparseCategoricalFocalLoss("learned", from_logits=True)


def data(seed=0):
    random = np.random.default_rng(seed)
    x = random.normal(size=(32, 2)).astype("float32")
    return x, random.integers(0, 3, 32)


def compiled(model, loss=None, **arguments):
    optimizer = keras.optimizers.Adam(0.05)
    model.compile(optimizer=optimizer, loss=loss or focal(), **arguments)
    return model


@pytest.mark.parametrize("kind", MODELS)
def test_parameters_are_trained(kind):
    model = compiled(MODELS[kind](), jit_compile=kind == "wrapped_sequential")
    model.fit(*data(), epochs=2, batch_size=16, verbose=0)
    assert model.loss.gamma != pytest.approx(2.0, abs=1e-3)
    trained = [v.name for v in model.trainable_weights]
    assert trained.count("sparse_categorical_focal_loss_raw_gamma") == 1
    assert len(trained) == len(model.weights) + 1
    before = model.loss.gamma
    model.evaluate(*data(), verbose=0)
    assert model.loss.gamma == before


@pytest.mark.parametrize("kind", MODELS)
def test_training_after_loading_is_bit_identical(kind, tmp_path):
    model = compiled(MODELS[kind]())
    model.fit(*data(), epochs=2, verbose=0)
    model.save(tmp_path / "model.keras")
    custom = {c.__name__: c for c in (MySequential, MyFunctional)}
    loaded = keras.models.load_model(tmp_path / "model.keras", custom_objects=custom)
    assert loaded.loss.gamma == model.loss.gamma
    for seed in (1, 2):
        assert step_logs(loaded, *data(seed)) == step_logs(model, *data(seed))
    assert loaded.loss.gamma == model.loss.gamma
    for ours, theirs in zip(model.get_weights(), loaded.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_weights_file_restores_loss_parameters(tmp_path):
    model = compiled(MODELS["wrapped_functional"]())
    model.fit(*data(), epochs=2, verbose=0)
    model.save_weights(tmp_path / "model.weights.h5")
    other = compiled(MODELS["wrapped_functional"]())
    other.train_on_batch(*data())  # creates the optimizer state
    other.load_weights(tmp_path / "model.weights.h5")
    assert other.loss.gamma == model.loss.gamma
    assert step_logs(other, *data(1)) == step_logs(model, *data(1))
    for ours, theirs in zip(model.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


LOSS_STRUCTURES = {
    "single": focal,
    "nested": lambda: kml.losses.AdaLoss(focal()),
    "list": lambda: [focal()],
}


@pytest.mark.parametrize("structure", LOSS_STRUCTURES)
def test_weights_may_be_loaded_before_compiling(structure, tmp_path):
    make = LOSS_STRUCTURES[structure]
    model = compiled(MODELS["wrapped_functional"](), make())
    model.fit(*data(), epochs=2, verbose=0)
    model.save_weights(tmp_path / "model.weights.h5")
    other = MODELS["wrapped_functional"]()
    other.load_weights(tmp_path / "model.weights.h5")
    (tmp_path / "model.weights.h5").unlink()
    loss = make()
    compiled(other, loss)
    expected, found = model.get_weights(), other.get_weights()
    for ours, theirs in zip(expected, found, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert found[-1] != pytest.approx(compiled(other, make()).get_weights()[-1])


def test_legacy_files_of_stateful_losses_raise(tmp_path):
    model = compiled(MODELS["wrapped_functional"]())
    for name in ("model.h5", "model.hdf5"):
        with pytest.raises(ValueError, match="`filepath`.*keras.*focal_loss"):
            model.save(tmp_path / name)
        assert not list(tmp_path.iterdir())
    compiled(model, "sparse_categorical_crossentropy").save(tmp_path / "model.h5")


def test_weights_file_without_loss_parameters(tmp_path):
    plain = MODELS["wrapped_functional"]()
    plain.compile(optimizer="adam", loss="mse")
    plain.save_weights(tmp_path / "plain.weights.h5")
    model = compiled(MODELS["wrapped_functional"]())
    model.load_weights(tmp_path / "plain.weights.h5")
    assert model.loss.gamma == pytest.approx(2.0, rel=1e-6)


@pytest.mark.parametrize("kind", ["wrapped_functional", "wrapped_sequential"])
def test_clone_copies_loss_and_weights(kind):
    model = compiled(MODELS[kind]())
    model.fit(*data(), epochs=2, verbose=0)
    clone = keras.models.clone_model(model)
    assert clone.compiled
    assert clone.loss is not model.loss
    clone.set_weights(model.get_weights())
    clone.optimizer.build(clone.trainable_variables)
    for ours, theirs in zip(
        clone.optimizer.variables, model.optimizer.variables, strict=True
    ):
        ours.assign(theirs)
    assert clone.loss.gamma == model.loss.gamma
    assert step_logs(clone, *data(1)) == step_logs(model, *data(1))
    for ours, theirs in zip(model.get_weights(), clone.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("kind", ["wrapped_sequential", "subclass"])
def test_export_writes_the_wrapped_model(kind, tmp_path):
    model = compiled(MODELS[kind]())
    model.fit(*data(), verbose=0)
    model.export(tmp_path / "exported", verbose=False)
    exported = tf.saved_model.load(str(tmp_path / "exported"))
    np.testing.assert_allclose(
        exported.serve(data()[0]),
        model.predict(data()[0], verbose=0),
        rtol=1e-5,
        atol=1e-6,
    )


def two_outputs():
    inputs = keras.Input((2,))
    hidden = keras.layers.Dense(4, "tanh")(inputs)
    heads = {name: keras.layers.Dense(3, name=name)(hidden) for name in ("a", "b")}
    return keras.Model(inputs, heads)


def test_dictionary_of_losses_is_trained_and_saved(tmp_path):
    model = kml.AdaptiveLossModel(two_outputs())
    compiled(model, loss={"a": focal(), "b": focal()})
    x, y = data()
    targets = {"a": y, "b": (y + 1) % 3}
    model.fit(x, targets, epochs=2, verbose=0)
    gammas = {name: loss.gamma for name, loss in model.loss.items()}
    assert len(set(gammas.values()) | {2.0}) == 3
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert {name: loss.gamma for name, loss in loaded.loss.items()} == gammas
    assert step_logs(loaded, x, targets) == step_logs(model, x, targets)
    for ours, theirs in zip(model.get_weights(), loaded.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_shared_loss_has_one_set_of_parameters():
    shared = focal()
    model = kml.AdaptiveLossModel(two_outputs())
    compiled(model, loss={"a": shared, "b": shared})
    assert len(model.trainable_weights) == len(model.weights) + 1


def test_parameters_of_nested_losses_are_trained():
    loss = kml.losses.RapidGeneralizationLoss(focal(), None, 0.0)
    model = kml.AdaptiveLossModel(
        keras.Sequential([keras.Input((4, 2)), keras.layers.Dense(3)])
    )
    compiled(model, loss=loss)
    x, y = data()
    model.fit(x.reshape(8, 4, 2), y.reshape(8, 4), verbose=0)
    assert loss.intra_task_loss.gamma != pytest.approx(2.0, abs=1e-3)


@pytest.mark.parametrize("kind", PLAIN)
def test_fit_of_a_plain_model_raises(kind):
    model = compiled(PLAIN[kind](), jit_compile=kind == "sequential")
    with pytest.raises(ValueError, match="kml.AdaptiveLossModel.*raw_gamma"):
        model.fit(*data(), verbose=0)


def test_plain_model_can_evaluate_but_not_train():
    model = compiled(functional())
    assert np.isfinite(model.evaluate(*data(), verbose=0))
    with pytest.raises(ValueError, match="kml.models.TrainableLossMixin"):
        model.train_on_batch(*data())


def test_plain_model_raises_eagerly_and_for_dictionaries():
    model = compiled(functional(), run_eagerly=True)
    with pytest.raises(ValueError, match="kml.AdaptiveLossModel"):
        model.fit(*data(), verbose=0)
    model = compiled(two_outputs(), loss={"a": focal(), "b": "mse"})
    with pytest.raises(ValueError, match="kml.AdaptiveLossModel"):
        model.fit(data()[0], {"a": data()[1], "b": np.zeros((32, 3))}, verbose=0)


def test_custom_training_loop_computes_all_gradients():
    loss, network = focal(), keras.Sequential(layers())
    x, y = data()
    with tf.GradientTape() as tape:
        context = kml.losses.LossContext(trains_parameters=True)
        value = loss(y, network(x), context=context)
    gradients = tape.gradient(
        value, network.trainable_variables + loss.trainable_variables
    )
    assert all(g is not None for g in gradients)


def test_early_stopping_restores_loss_parameters():
    model = compiled(MODELS["wrapped_sequential"]())
    seen = []

    class Recorder(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            seen.append((logs["loss"], self.model.loss.gamma))

    stop = keras.callbacks.EarlyStopping(
        monitor="loss", mode="max", patience=2, restore_best_weights=True
    )
    model.fit(*data(), epochs=3, verbose=0, callbacks=[Recorder(), stop])
    assert model.loss.gamma == max(seen)[1] != seen[-1][1]


def test_set_weights_without_loss_parameters():
    model = compiled(MODELS["wrapped_sequential"]())
    plain = keras.Sequential(layers())
    model.set_weights(plain.get_weights())
    np.testing.assert_array_equal(model.get_weights()[0], plain.get_weights()[0])
    with pytest.raises(ValueError, match="Expected 4 arrays, or 5 .* 6 arrays"):
        model.set_weights(model.get_weights() + [0.0])


def test_frozen_model_has_no_trainable_weights():
    model = compiled(MODELS["wrapped_sequential"]())
    model.trainable = False
    assert model.trainable_weights == model.trainable_variables == []


def test_loss_can_be_saved_without_a_model(tmp_path):
    loss = focal()
    loss.trainable_variables[0].assign(3.0)
    keras.saving.save_model(loss, tmp_path / "loss.keras")
    loaded = keras.saving.load_model(tmp_path / "loss.keras")
    assert loaded.gamma == loss.gamma


def test_wrapping_a_non_model_raises():
    with pytest.raises(ValueError, match="`model`.*Keras model.*model=3"):
        kml.AdaptiveLossModel(3)


@pytest.mark.filterwarnings("ignore:`build... was called on layer:UserWarning")
def test_subclassed_model_with_unbuilt_layers_trains():
    class Network(keras.Model):
        def __init__(self):
            super().__init__()
            self.layer = keras.layers.Dense(1)

        def call(self, x):
            return self.layer(x)

    model = kml.AdaptiveLossModel(Network())
    model.compile(optimizer="adam", loss="mse")
    model.build((None, 2))
    model.fit(np.ones((4, 2)), np.ones((4, 1)), epochs=2, verbose=0)
    assert int(model.optimizer.iterations) == 2


def test_parameters_of_losses_in_a_list_are_found():
    class Several(keras.losses.Loss):
        def __init__(self, parts):
            super().__init__()
            self.parts = parts

    focal = kml.losses.SparseCategoricalFocalLoss("learned", from_logits=True)
    model = kml.AdaptiveLossModel(
        keras.Sequential([keras.Input((2,)), keras.layers.Dense(3)])
    )
    model.compile(loss=Several([focal]))
    assert len(model.trainable_variables) == 3
