"""Every public name is tested, documented with a runnable example, and serializes.

A new name of an `__all__` fails here until a test uses it, its docstring is complete
and, if it is a registered Keras object, a table has a constructor of it.
"""

from __future__ import annotations

import ast
import dis
import doctest
import functools
import inspect
import json
import pathlib
import re
import types
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
import pytest

import keras_metaloss as kml
from tests.helpers import (
    estimators,
    joint_models,
    losses,
    methods,
    multi_task_models,
    weightings,
)

TESTS = pathlib.Path(__file__).parent
A, L = kml.adaptation, kml.losses

# Constants.
WITHOUT_EXAMPLE = {"kml.__version__", "kml.datasets.fsmol.ASSAYS"}
# Data sets are downloaded or drawn at the first call, so their examples are not run.
NOT_RUN = re.compile(r"kml\.datasets\.\w+\.load_data")
# Base classes: they have no configuration before they are subclassed.
BASES = {
    "kml.adaptation.Adaptation",
    "kml.adaptation.GradientAdaptation",
    "kml.adaptation.MetricAdaptation",
    "kml.losses.InterTaskLoss",
    "kml.losses.MetaLoss",
    "kml.losses.TrainableLoss",
    "kml.losses.weighting.TaskWeighting",
}
# Entries of serialized models that depend on whether the model is built or compiled.
STATE = {"build_config", "compile_config"}
HEADINGS = {
    "Args",
    "Attributes",
    "Call arguments",
    "Example",
    "Input shape",
    "Output shape",
    "Raises",
    "Reference",
    "Returns",
}
# Losses that compare tasks, networks or classes have separate tests instead of a
# per-example reference.
OTHER_LOSSES = {
    "MutualInformationLoss",
    "NegativeLogLikelihood",
    "OneVsRest",
    "RapidGeneralizationLoss",
}


def network(units: int = 2) -> keras.Model:
    return keras.Sequential([keras.Input((3,)), keras.layers.Dense(units)])


def built(layer: keras.layers.Layer, *shapes: Any) -> keras.layers.Layer:
    layer.build(*shapes)
    return layer


def metric_classifier() -> keras.Model:
    adaptation = A.PrototypicalNetwork(classes=2)
    model = kml.MetaModel(network(), adaptation)
    return model.adapt(np.eye(2, 3), np.arange(2))


def transductive_model() -> keras.Model:
    learner = keras.Sequential([network(), keras.layers.BatchNormalization()])
    learner.build((None, 3))
    model = kml.MetaModel(learner, A.MAML(loss="mse", normalization="batch"))
    return model.adapt(np.eye(2, 3), np.eye(2))


def network_optimizers() -> Any:
    model = kml.JointModel({"a": network(), "b": network()})
    model.compile(
        optimizer={"a": "sgd", "b": "adam"},
        loss=L.MutualInformationLoss({"a": joint_models.CROSS_ENTROPY, "b": "mse"}),
    )
    return model.optimizer


def function_loss() -> keras.losses.Loss:
    loss = L.RapidGeneralizationLoss(keras.losses.mean_squared_error)
    return loss.intra_task_loss


def critic_model() -> keras.Model:
    x = np.arange(24.0)[:, np.newaxis]
    estimator = kml.information.MutualInformationEstimator("mine")
    return estimator.fit(x, x, epochs=1, batch_size=8, verbose=0).model


#: Constructors of registered classes that are in no other table, by name.
SERIALIZABLE: dict[str, Callable[[], Any]] = {
    "AdaptiveLossModel": lambda: kml.AdaptiveLossModel(network()),
    "ConcatCritic": lambda: kml.information.ConcatCritic([4]),
    "ConfidenceInterval": kml.metrics.ConfidenceInterval,
    "ContextVector": lambda: kml.layers.ContextVector(3),
    "Cosine": lambda: A.distances.Cosine(2.0),
    "CriticModel": critic_model,
    "FunctionLoss": function_loss,
    "JointModel": lambda: kml.JointModel(network(), network(1)),
    "Mahalanobis": A.distances.Mahalanobis,
    "MetaModel": lambda: kml.MetaModel(network(), A.MAML(2)),
    "MetricClassifier": metric_classifier,
    "MultiTaskModel": lambda: kml.MultiTaskModel(
        multi_task_models.network(), L.weighting.PCGrad()
    ),
    "MutualInformation": lambda: kml.metrics.MutualInformation(3, name="mine"),
    "MutualInformationEstimator": lambda: kml.information.MutualInformationEstimator(
        "smile", "concat", "sgd"
    ),
    "MutualInformationLoss": lambda: L.MutualInformationLoss("mse", "mse", beta=0.2),
    "NegativeLogLikelihood": lambda: L.NegativeLogLikelihood(joint_models.normal),
    "NetworkOptimizers": network_optimizers,
    "NormalizedMutualInformation": lambda: kml.metrics.NormalizedMutualInformation(
        3, name="mine"
    ),
    "OneVsRest": lambda: L.OneVsRest(keras.losses.BinaryCrossentropy()),
    "RapidGeneralizationLoss": lambda: L.RapidGeneralizationLoss(
        "mse", L.TaskSimilarityLoss(), lambda_weight=0.1
    ),
    "SeparableCritic": lambda: kml.information.SeparableCritic([4], 2),
    "SquaredEuclidean": A.distances.SquaredEuclidean,
    "TaskLossVariance": L.TaskLossVariance,
    "TaskSimilarityLoss": L.TaskSimilarityLoss,
    "TransductiveModel": transductive_model,
    "TwiceDifferentiableMaxPool2D": kml.layers.TwiceDifferentiableMaxPool2D,
}


def is_namespace(value: Any) -> bool:
    return isinstance(value, types.ModuleType)


def public_names(module: Any, prefix: str) -> Iterator[tuple[str, Any]]:
    """Yields the public names of a module and of its public namespaces."""
    for name in module.__all__:
        value = getattr(module, name)
        if is_namespace(value):
            yield from public_names(value, f"{prefix}.{name}")
        else:
            yield f"{prefix}.{name}", value


def registered(package: str = "keras_metaloss") -> dict[str, Any]:
    """Returns the objects that a package registers with Keras, by name."""
    start = f"{package}>"
    found = keras.saving.get_custom_objects().items()
    return {k.removeprefix(start): v for k, v in found if k.startswith(start)}


# Tests


@functools.cache
def identifiers_in_tests() -> frozenset[str]:
    """Returns the identifiers in the code of all tests except this file."""
    found = set()
    for path in TESTS.rglob("*.py"):
        if path.name == pathlib.Path(__file__).name:
            continue
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            found.add(getattr(node, "attr", None) or getattr(node, "id", None))
            if isinstance(node, ast.alias):
                found.add(node.name.split(".")[-1])
    return frozenset(found - {None})


def weighting_makers() -> list[Callable[[], Any]]:
    tasks = ("a", "b", "c")
    return [functools.partial(make, tasks) for make in weightings.WEIGHTINGS.values()]


def tables() -> dict[str, set[Any]]:
    """Returns the classes and functions in the table of each family."""
    cases = losses.CASES.values()
    return {
        "adaptation method": {type(m.adaptation()) for m in methods.METHODS.values()},
        "loss": {type(case.make()) for case in cases},
        "loss function": {
            getattr(case.function, "func", case.function) for case in cases
        },
        "weighting": {type(make()) for make in weighting_makers()},
        "estimator": {row.public for row in estimators.ESTIMATORS.values()},
    }


def family(name: str, value: Any) -> str | None:
    """Returns the family with a table that a public name belongs to."""
    short = name.rsplit(".", 1)[-1]
    is_registered = value in registered().values()
    if inspect.isclass(value):
        if is_registered and issubclass(value, A.Adaptation):
            return "adaptation method"
        if is_registered and issubclass(value, L.weighting.TaskWeighting):
            return "weighting"
        if is_registered and issubclass(value, keras.losses.Loss):
            return None if short in OTHER_LOSSES else "loss"
    elif inspect.isfunction(value):
        if name.startswith("kml.losses.") and "weighting" not in name:
            return "loss function"
        if re.search(r"(mutual_information|entropy)_|\.sliced_|\.bounds\.", name):
            predicted = short.endswith(("_terms", "_bounds"))
            return None if predicted else "estimator"
    return None


def coverage_errors(name: str, value: Any) -> list[str]:
    """Returns an error if no table or test has a public name."""
    kind = family(name, value)
    if kind is not None:
        found = value in tables()[kind]
        return [] if found else [f"{name}: not in the table of its family, {kind}"]
    *_, namespace, short = name.split(".")
    if short in ("load_data", "load_tasks"):
        table = (TESTS / "datasets" / "test_contract.py").read_text("utf-8")
        found = f'    "{namespace}": ' in table
        return [] if found else [f"{name}: not in the table of test_contract.py"]
    return [] if short in identifiers_in_tests() else [f"{name}: in no test"]


# Docstrings


def sections(doc: str) -> dict[str, str]:
    """Returns the text of each section of a docstring, by heading."""
    parts = re.split(r"^([A-Z]\w+(?: \w+)?):$", doc, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def entries(section: str) -> dict[str, str]:
    """Returns the entries of a section of arguments, by name."""
    parts = re.split(r"^    (\*{0,2}\w+):", section, flags=re.MULTILINE)
    return {
        name: " ".join(text.split())
        for name, text in zip(parts[1::2], parts[2::2], strict=True)
    }


def parameters(value: Any) -> list[inspect.Parameter]:
    """Returns the documented parameters of a function or class."""
    default = (object.__init__, object.__new__)
    if inspect.isclass(value) and (value.__init__, value.__new__) == default:
        return []
    every = inspect.signature(value).parameters.values()
    return [p for p in every if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]


def is_record(value: Any) -> bool:
    return inspect.isclass(value) and hasattr(value, "_fields")


def raises(value: Any) -> bool:
    """Returns whether the code of a function or constructor has `raise`."""
    function = value.__dict__.get("__init__") if inspect.isclass(value) else value
    if not inspect.isfunction(function):
        return False
    return any(i.opname == "RAISE_VARARGS" for i in dis.get_instructions(function))


def docstring_errors(name: str, value: Any) -> list[str]:
    """Returns the errors in the docstring of a public name."""
    if name in WITHOUT_EXAMPLE:
        return []
    raw = value.__dict__.get("__doc__") if inspect.isclass(value) else value.__doc__
    doc = inspect.cleandoc(raw or "")
    if not doc:
        return [f"{name}: no docstring"]
    errors, found = [], sections(doc)
    errors += [f"heading {h!r}" for h in found if h not in HEADINGS]
    examples = doctest.DocTestParser().get_examples(doc)
    if NOT_RUN.fullmatch(name):
        runs = "Example" in found
    else:
        runs = any(not e.options.get(doctest.SKIP) for e in examples)
    if not runs:
        errors.append("no example that runs")
    if inspect.isfunction(value) and "Returns" not in found:
        errors.append("no 'Returns'")
    if raises(value) and "Raises" not in found:
        errors.append("no 'Raises'")
    documented = entries(found.get("Attributes" if is_record(value) else "Args", ""))
    expected = {p.name: p for p in parameters(value)}
    for parameter in expected.values():
        text = documented.get(parameter.name)
        if text is None:
            errors.append(f"argument {parameter.name!r} is not documented")
        elif parameter.default is not parameter.empty and "Defaults to" not in text:
            errors.append(f"no default of {parameter.name!r}")
    for argument, text in documented.items():
        if argument not in expected and not argument.startswith("*"):
            errors.append(f"argument {argument!r} does not exist")
        if text[:1].islower():
            errors.append(f"entry {argument!r} starts with a lower-case letter")
    return [f"{name}: {error}" for error in errors]


# Serialization


@functools.cache
def constructors() -> dict[str, list[Callable[[], Any]]]:
    """Returns functions that make objects of each registered class, by its name."""
    makers = [
        *(m.adaptation for m in methods.METHODS.values()),
        *(case.make for case in losses.CASES.values()),
        *weighting_makers(),
    ]
    found = {name: [make] for name, make in SERIALIZABLE.items()}
    for make in makers:
        found.setdefault(type(make()).__name__, []).append(make)
    return found


def as_text(value: Any) -> str:
    """Returns the configuration of a Keras object, built or not."""

    def without_shapes(part):
        if isinstance(part, dict):
            kept = {k: v for k, v in part.items() if k not in STATE}
            return {k: without_shapes(v) for k, v in kept.items()}
        return [without_shapes(v) for v in part] if isinstance(part, list) else part

    config = without_shapes(keras.saving.serialize_keras_object(value))
    return json.dumps(config, sort_keys=True, default=repr)


def serialization_errors(cls: type, makers: list[Callable[[], Any]]) -> list[str]:
    """Returns differences between registered objects and their copies."""
    errors = [] if makers else [f"{cls.__name__}: no constructor in `SERIALIZABLE`"]
    for make in makers:
        value = make()
        if type(value) is not cls:
            errors.append(f"{cls.__name__}: {type(value).__name__} is another class")
            continue
        copies = {
            "from_config": cls.from_config(value.get_config()),
            "deserialize_keras_object": keras.saving.deserialize_keras_object(
                keras.saving.serialize_keras_object(value)
            ),
        }
        for method, copy in copies.items():
            if type(copy) is not cls or as_text(copy) != as_text(value):
                errors.append(f"{cls.__name__}: {method} changes the configuration")
    return errors


def registration_errors(name: str, value: Any) -> list[str]:
    """Returns an error for a class of Keras objects that is not registered."""
    kinds = (
        keras.layers.Layer,
        keras.losses.Loss,
        keras.metrics.Metric,
        keras.optimizers.Optimizer,
        L.InterTaskLoss,
    )
    if not inspect.isclass(value) or not issubclass(value, kinds) or name in BASES:
        return []
    found = ">" in keras.saving.get_registered_name(value)
    return [] if found else [f"{name}: not registered with Keras"]


NAMES = dict(public_names(kml, "kml"))


@pytest.mark.parametrize("name", NAMES)
def test_public_name_is_tested(name):
    assert not coverage_errors(name, NAMES[name])


@pytest.mark.parametrize("name", NAMES)
def test_docstring_is_complete(name):
    assert not docstring_errors(name, NAMES[name])


@pytest.mark.parametrize("name", NAMES)
def test_public_class_is_registered(name):
    assert not registration_errors(name, NAMES[name])


@pytest.mark.parametrize(
    "name", [name for name, value in registered().items() if inspect.isclass(value)]
)
def test_registered_class_serializes(name):
    cls = registered()[name]
    assert not serialization_errors(cls, constructors().get(cls.__name__, []))


def test_exceptions_are_needed():
    assert (WITHOUT_EXAMPLE | BASES) <= set(NAMES)
    assert set(SERIALIZABLE) <= {value.__name__ for value in registered().values()}
    assert set(OTHER_LOSSES) <= set(L.__all__)


# Tests of the checks themselves.

GOOD = '''
import keras

@keras.saving.register_keras_serializable(package="made_up")
class Scale(keras.layers.Layer):
    """Multiplies its input.

    Args:
        factor: Factor of the input.
        offset: Number to add. Defaults to `0.0`.

    Raises:
        ValueError: If `factor` is zero.

    Example:

    >>> 1 + 1
    2
    """

    def __init__(self, factor, offset=0.0, **kwargs):
        super().__init__(**kwargs)
        if not factor:
            raise ValueError("Invalid value for argument `factor`.")
        self.factor, self.offset = factor, offset

    def get_config(self):
        config = super().get_config()
        return {**config, "factor": self.factor, "offset": self.offset}

def scale(x):
    """Computes a product.

    Args:
        x: A number.

    Returns:
        A number.

    Example:

    >>> 1 + 1
    2
    """
    return x

__all__ = ["Scale", "scale"]
'''


def made_up(*changes: tuple[str, str]) -> types.ModuleType:
    code = GOOD
    for old, new in changes:
        assert old in code
        code = code.replace(old, new)
    module = types.ModuleType("made_up")
    exec(code, module.__dict__)
    return module


def made_up_errors(module: types.ModuleType) -> list[str]:
    errors = []
    for name, value in public_names(module, "made_up"):
        errors += docstring_errors(name, value) + registration_errors(name, value)
    return errors


def test_checks_accept_a_complete_module():
    module = made_up()
    assert made_up_errors(module) == []
    assert serialization_errors(module.Scale, [lambda: module.Scale(2.0)]) == []


@pytest.mark.parametrize(
    ("old", "new", "error"),
    [
        ('    """Computes a product.', '    x = """Computes.', "no docstring"),
        (">>> 1 + 1", "1 + 1", "no example that runs"),
        (">>> 1 + 1", ">>> 1 + 1  # doctest: +SKIP", "no example that runs"),
        ("Args:", "Inputs:", "heading 'Inputs'"),
        ("    Returns:\n        A number.\n", "", "no 'Returns'"),
        ("    Raises:\n        ValueError: If `factor` is zero.\n", "", "no 'Raises'"),
        ("        x: A number.\n", "", "argument 'x' is not documented"),
        ("        x: A", "        x: A.\n        y: A", "argument 'y' does not exist"),
        ("x: A number", "x: a number", "entry 'x' starts with a lower-case letter"),
        (" Defaults to `0.0`.", "", "no default of 'offset'"),
        (
            '@keras.saving.register_keras_serializable(package="made_up")',
            "",
            "not registered with Keras",
        ),
    ],
)
def test_checks_find_incomplete_names(old, new, error):
    errors = made_up_errors(made_up((old, new)))
    assert any(error in found for found in errors), errors


def test_checks_find_names_without_a_test():
    made = made_up()
    (error,) = coverage_errors("made_up.scale_of_nothing", made.scale)
    assert "in no test" in error
    (error,) = coverage_errors("kml.losses.scale", made.scale)
    assert "not in the table of its family, loss function" in error
    (error,) = coverage_errors("kml.information.entropy_scale", made.scale)
    assert "not in the table of its family, estimator" in error
    (error,) = coverage_errors("kml.datasets.scales.load_data", made.scale)
    assert "not in the table of test_contract.py" in error


@pytest.mark.parametrize(
    ("base", "kind"),
    [
        (A.MAML, "adaptation method"),
        (L.BinaryFocalLoss, "loss"),
        (L.weighting.PCGrad, "weighting"),
    ],
)
def test_checks_find_classes_without_a_row(base, kind):
    name = f"New{base.__name__}"
    new = type(name, (base,), {})
    keras.saving.register_keras_serializable("keras_metaloss")(new)
    try:
        (error,) = coverage_errors(f"kml.{name}", new)
        assert error.endswith(f"not in the table of its family, {kind}")
        assert "no constructor" in serialization_errors(new, [])[0]
    finally:
        del keras.saving.get_custom_objects()[f"keras_metaloss>{name}"]


def test_checks_find_configurations_that_are_not_restored():
    module = made_up(('"offset": self.offset', '"offset": 0.0'))
    errors = serialization_errors(module.Scale, [lambda: module.Scale(2.0, 1.0)])
    # The configuration is wrong, but it is the same for the copy.
    assert errors == []
    module = made_up(("= factor, offset", "= factor, offset + 1"))
    errors = serialization_errors(module.Scale, [lambda: module.Scale(2.0, 1.0)])
    assert len(errors) == 2 and "changes the configuration" in errors[0]
