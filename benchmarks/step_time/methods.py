"""One outer step of each method, on the problem of the library comparison."""

from __future__ import annotations

import os
from collections.abc import Callable

import problem

Step = Callable[[], float]


def gradient_method(make: Callable) -> Callable[[int], Step]:
    """Returns a solver for a method of `kml.adaptation` that has inner steps."""

    def solver(inner_steps: int) -> Step:
        keras, tf, kml = _imports()
        # Tasks run in parallel, one core each; other methods use all cores in one pass.
        tf.config.threading.set_intra_op_parallelism_threads(1)
        learner = kml.learners.conv4((28, 28, 1), problem.WAYS, filters=problem.FILTERS)
        return _meta_step(keras, tf, kml.MetaModel(learner, make(kml, inner_steps)))

    return solver


def prototypical(inner_steps: int) -> Step:
    """Returns a training step of a prototypical network, which has no inner steps."""
    del inner_steps
    keras, tf, kml = _imports()
    embedding = kml.learners.conv4((28, 28, 1), filters=problem.FILTERS)
    adaptation = kml.adaptation.PrototypicalNetwork()
    return _meta_step(keras, tf, kml.MetaModel(embedding, adaptation))


def supervised(inner_steps: int) -> Step:
    """Returns a plain Keras training step on the same number of images."""
    del inner_steps
    keras, tf, kml = _imports()
    model = kml.learners.conv4((28, 28, 1), problem.WAYS, filters=problem.FILTERS)
    _compile(keras, model)
    data = problem.episodes()
    x, y = (
        tf.concat(
            [
                data[f"{part}_{key}"].reshape(-1, *data[f"{part}_{key}"].shape[2:])
                for part in ("support", "query")
            ],
            axis=0,
        )
        for key in ("x", "y")
    )
    return lambda: float(model.train_on_batch(x, y))


def _imports():
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    import keras
    import tensorflow as tf

    import keras_metaloss as kml

    return keras, tf, kml


def _meta_step(keras, tf, model):
    _compile(keras, model)
    x = {name: tf.constant(value) for name, value in problem.episodes().items()}
    y = x.pop("query_y")
    return lambda: float(model.train_on_batch(x, y))


def _compile(keras, model):
    model.compile(
        optimizer=keras.optimizers.Adam(problem.OUTER_RATE),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )


_SETTINGS = {"learning_rate": problem.INNER_RATE, "normalization": "batch"}

METHODS = {
    "maml": gradient_method(lambda kml, k: kml.adaptation.MAML(k, **_SETTINGS)),
    "fomaml": gradient_method(
        lambda kml, k: kml.adaptation.MAML(k, first_order=True, **_SETTINGS)
    ),
    "anil": gradient_method(lambda kml, k: kml.adaptation.ANIL(k, **_SETTINGS)),
    "reptile": gradient_method(lambda kml, k: kml.adaptation.Reptile(k, **_SETTINGS)),
    "implicit_maml": gradient_method(
        lambda kml, k: kml.adaptation.ImplicitMAML(k, **_SETTINGS)
    ),
    "prototypical": prototypical,
    "supervised": supervised,
}
