"""Every number of every method, inner optimizer, learner and layer is validated."""

from __future__ import annotations

import inspect

import keras
import numpy as np
import pytest

import keras_metaloss as kml
from keras_metaloss.adaptation import distances, inner_optimizers

A = kml.adaptation
OPT = inner_optimizers
NAN, INF = float("nan"), float("inf")

# Invalid values for each kind of argument.
INTEGER = [NAN, INF, -1, 2.5, True, "2", (1, 2)]
POSITIVE_INTEGER = [0, *INTEGER]
RATE = [NAN, INF, -1.0, True, "0.1", (0.1, 0.2)]
POSITIVE = [0.0, *RATE]
DECAY = [1.0, 1.5, None, *RATE]
MOMENTUM = [1.5, None, *RATE]
BOOLEAN = ["no", 1, 0, None, NAN]
NORMALIZATION = ["none", "Support", None, True, 3, NAN]
SIZES = [0, None, "ab", (0,), (-1,), (2.5,), (True,), ("2",), (NAN,), (None,)]

STEPS = {"steps": [None, *POSITIVE_INTEGER], "evaluation_steps": POSITIVE_INTEGER}
INNER = {**STEPS, "learning_rate": RATE, "normalization": NORMALIZATION}
OPTIMIZER = {"optimizer": ["adam", 0.1, keras.optimizers.Adagrad()]}
FIRST_ORDER = {"first_order": BOOLEAN}
LOOPED = {**INNER, **OPTIMIZER, "normalization": [*NORMALIZATION, "per_step"]}
METRIC = {
    "classes": POSITIVE_INTEGER,
    "normalization": [*NORMALIZATION, "per_step"],
}
DISTANCE = {"distance": ["l1", 3, True, NAN]}
IMAGE = {
    "input_shape": [
        (8, 8),
        (8, 8, 3, 1),
        (8, 8, 0),
        (8, 8, None),
        (8, -1, 3),
        (8.5, 8, 3),
        (True, 8, 3),
        8,
        "888",
        None,
    ],
    "classes": POSITIVE_INTEGER,
}

METHODS = {
    A.MAML: {**INNER, **OPTIMIZER, **FIRST_ORDER},
    A.ANIL: {
        **INNER,
        **OPTIMIZER,
        **FIRST_ORDER,
        "layers": [3, True, [1], [None], NAN],
    },
    A.CAVIA: {**INNER, **OPTIMIZER, **FIRST_ORDER},
    A.MetaSGD: {**INNER, **FIRST_ORDER},
    A.MAMLPlusPlus: {
        **INNER,
        "multi_step_updates": [None, *INTEGER],
        "first_order_updates": [None, *INTEGER],
    },
    A.Reptile: {**LOOPED, "batch_size": POSITIVE_INTEGER},
    A.ImplicitMAML: {
        **LOOPED,
        "strength": [None, *POSITIVE],
        "solver_steps": [None, *POSITIVE_INTEGER],
    },
    A.PrototypicalNetwork: {**METRIC, "distance": [None, *DISTANCE["distance"]]},
    A.MatchingNetwork: {
        **METRIC,
        "distance": [None, *DISTANCE["distance"]],
        "full_context": BOOLEAN,
        "reading_steps": [None, *POSITIVE_INTEGER],
    },
    A.RelationNetwork: {
        **METRIC,
        "filters": [None, *POSITIVE_INTEGER],
        "hidden_units": [None, *POSITIVE_INTEGER],
    },
    A.SiameseNetwork: {**METRIC, **DISTANCE},
    A.MetaOptNet: {
        **METRIC,
        "strength": [None, *POSITIVE],
        "scale": [None, *POSITIVE],
    },
    distances.Cosine: {"scale": [None, *RATE]},
    kml.layers.ContextVector: {"units": [None, *POSITIVE_INTEGER]},
    kml.layers.TwiceDifferentiableMaxPool2D: {"pool_size": [None, *POSITIVE_INTEGER]},
}
FUNCTIONS = {
    OPT.sgd: {
        "learning_rate": [None, *RATE, np.ones(2)],
        "momentum": MOMENTUM,
        "nesterov": BOOLEAN,
    },
    OPT.rmsprop: {
        "learning_rate": [None, *RATE],
        "rho": DECAY,
        "momentum": MOMENTUM,
        "epsilon": [None, *POSITIVE],
        "centered": BOOLEAN,
    },
    OPT.adam: {
        "learning_rate": [None, *RATE],
        "beta_1": DECAY,
        "beta_2": DECAY,
        "epsilon": [None, *POSITIVE],
    },
    OPT.adamw: {
        "learning_rate": [None, *RATE],
        "weight_decay": [None, *RATE],
        "beta_1": DECAY,
        "beta_2": DECAY,
        "epsilon": [None, *POSITIVE],
    },
    OPT.clipped: {
        "clipnorm": POSITIVE,
        "clipvalue": POSITIVE,
        "global_clipnorm": POSITIVE,
    },
    kml.learners.mlp: {
        "input_shape": SIZES,
        "outputs": [None, *POSITIVE_INTEGER],
        "hidden": SIZES,
    },
    kml.learners.conv4: {
        **IMAGE,
        "filters": [None, *POSITIVE_INTEGER],
        "downsample": ["average", None, 2, True],
        "halvings": [5, None, *INTEGER],
        "feature_map": BOOLEAN,
    },
    kml.learners.resnet12: {
        **IMAGE,
        "filters": [(), *SIZES],
        "dropout": DECAY,
    },
}
VALID = {
    OPT.sgd: {"learning_rate": 0.1},
    OPT.rmsprop: {"learning_rate": 0.1},
    OPT.adam: {"learning_rate": 0.1},
    OPT.adamw: {"learning_rate": 0.1},
    OPT.clipped: {"optimizer": OPT.sgd(0.1)},
    kml.learners.mlp: {"input_shape": (2,), "outputs": 2},
    kml.learners.conv4: {"input_shape": (16, 16, 1)},
    kml.learners.resnet12: {"input_shape": (16, 16, 1), "filters": (2, 2, 2, 2)},
    kml.layers.ContextVector: {"units": 2},
}
# Arguments that are checked elsewhere: structures of losses, and names.
ELSEWHERE = {"self", "name", "loss", "kwargs", "activation"}
ROWS = [
    pytest.param(function, argument, value, id=f"{function.__name__}-{argument}-{i}")
    for function, arguments in {**METHODS, **FUNCTIONS}.items()
    for argument, values in arguments.items()
    for i, value in enumerate(values)
]


@pytest.mark.parametrize(("function", "argument", "value"), ROWS)
def test_invalid_value_raises_and_names_the_argument(function, argument, value):
    with pytest.raises(ValueError, match=f"Invalid value.*`{argument}`.*Received: "):
        function(**{**VALID.get(function, {}), argument: value})


@pytest.mark.parametrize("function", [*METHODS, *FUNCTIONS])
def test_the_table_has_all_arguments(function):
    arguments = set(inspect.signature(function).parameters) - ELSEWHERE
    table = {**METHODS, **FUNCTIONS}[function]
    assert arguments - {"optimizer"} == set(table) - {"optimizer"}


@pytest.mark.parametrize("function", [*METHODS, *FUNCTIONS])
def test_valid_arguments_are_accepted(function):
    function(**VALID.get(function, {}))


VALID_VALUES = {
    "numpy_integer": lambda: A.MAML(np.int64(2), np.float32(0.1)),
    "integer_rate": lambda: A.MAML(1, 0),
    "numpy_boolean": lambda: A.MAML(first_order=np.True_),
    "no_limit": lambda: OPT.clipped(OPT.sgd(0.1)),
    "list_of_sizes": lambda: kml.learners.mlp([2], 1, hidden=[3]),
    "linear_model": lambda: kml.learners.mlp((2,), 1, hidden=()),
    "any_image_size": lambda: kml.learners.conv4((None, None, 3), 5),
    "numpy_sizes": lambda: kml.learners.conv4((np.int64(8), 8, 3), 5),
    "schedule": lambda: OPT.sgd(
        keras.optimizers.schedules.ExponentialDecay(0.1, 2, 0.5)
    ),
    "tensor": lambda: OPT.sgd(keras.ops.convert_to_tensor(0.1)),
    "tuple_of_layers": lambda: A.ANIL(layers=("dense",)),
}


@pytest.mark.parametrize("name", VALID_VALUES)
def test_other_types_of_valid_values_are_accepted(name):
    VALID_VALUES[name]()


def test_zero_clipping_of_a_keras_optimizer_means_no_clipping():
    keras_optimizer = keras.optimizers.SGD(1.0, clipnorm=0.0)
    inner = inner_optimizers.from_keras(keras_optimizer)
    weights = [keras.ops.ones((2,))]
    updates, _ = inner.update([3.0 * weights[0]], inner.init(weights), weights)
    np.testing.assert_allclose(updates[0], [-3.0, -3.0])


def test_trained_scale_of_cosine_distances_remains_non_negative():
    distance = distances.Cosine(0.1)
    distance(np.ones((1, 2)), np.ones((1, 2)))
    optimizer = keras.optimizers.SGD(1.0)
    optimizer.apply_gradients([(keras.ops.convert_to_tensor(5.0), distance.factor)])
    assert float(distance.factor) == 0.0
