"""All datasets follow the conventions in the docstring of `keras_metaloss.datasets`."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np
import pytest

import keras_metaloss as kml

IMAGES = ("uint8", (28, 28, 1))
VALUE = ("float32", ())
LABEL = ("int32", ())


class Examples(NamedTuple):
    """A dataset with `load_data()`.

    Attributes:
        write: Writes a small dataset into a folder; returns the arguments of
            `load_data` that read it.
        splits: Number of examples of each split.
        x: Data type of the inputs, and their shape without the example axis.
        y: The same for the targets.
        new_classes: Function from `x` and `y` to the integer labels of classes that
            differ between splits; `None` if all splits have the same classes.
    """

    write: Callable[[Path], dict[str, Any]]
    splits: tuple[int, ...]
    x: Any
    y: Any
    new_classes: Callable[[Any, Any], np.ndarray] | None = None


class Families(NamedTuple):
    """Families of tasks with `load_tasks()`."""

    arguments: dict[str, Any]


def write_fsmol(folder: Path) -> dict[str, Any]:
    random = np.random.default_rng(0)
    np.savez(
        folder / "fsmol_subset.npz",
        task_id=np.array(["a", "b", "c", "d"]),
        task_offset=np.array([0, 2, 5, 9, 14]),
        fingerprint=random.integers(0, 256, (14, 256), dtype="uint8"),
        active=random.integers(0, 2, 14, dtype="uint8"),
        log_value=np.where(np.arange(14) % 5, 1.5, np.nan).astype("float32"),
    )
    return {"assays": {"train": ["a", "b"], "val": ["c"], "test": ["d"]}}


def write_glyphs(folder: Path) -> dict[str, Any]:
    cache = folder / "datasets" / "keras_metaloss"
    cache.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(0)
    np.savez(
        cache / f"glyphs-v{kml.datasets.glyphs._VERSION}-28x28-2-seed0.npz",
        **{
            name: random.integers(0, 256, (classes, 2, 28, 28), dtype="uint8")
            for name, classes in (("train", 4), ("val", 2), ("test", 3))
        },
    )
    return {"drawings": 2, "cache_dir": folder}


def write_omniglot(folder: Path) -> dict[str, Any]:
    random = np.random.default_rng(0)
    np.savez(
        folder / "omniglot.npz",
        images=random.integers(0, 256, (6, 3, 28, 28), dtype="uint8"),
        alphabet=np.array(["Greek"] * 2 + ["Hebrew"] + ["Tibetan"] * 3),
        split=np.array(["background"] * 3 + ["evaluation"] * 3),
        vinyals_split=np.array(["train"] * 2 + ["val"] + ["test"] * 3),
    )
    return {}


def write_wine_quality(folder: Path) -> dict[str, Any]:
    np.savez(
        folder / "wine_quality.npz",
        x=np.random.default_rng(0).random((10, 11)),
        is_white=np.arange(10, dtype="int8") % 2,
        quality=np.arange(10, dtype="int8"),
    )
    return {}


DATASETS = {
    "fsmol": Examples(
        write_fsmol,
        splits=(5, 4, 5),
        x={"fingerprint": ("uint8", (2048,)), "assay": LABEL},
        y={"active": LABEL, "log_value": VALUE},
        new_classes=lambda x, y: x["assay"],
    ),
    "glyphs": Examples(
        write_glyphs, splits=(8, 4, 6), x=IMAGES, y=LABEL, new_classes=lambda x, y: y
    ),
    "omniglot": Examples(
        write_omniglot, splits=(6, 3, 9), x=IMAGES, y=LABEL, new_classes=lambda x, y: y
    ),
    "sinusoid": Families({"variant": "meta_sgd"}),
    "wine_quality": Examples(
        write_wine_quality,
        splits=(8, 2),
        x=("float64", (11,)),
        y={"is_white": LABEL, "quality": VALUE},
    ),
}
EXAMPLES = [name for name, case in DATASETS.items() if isinstance(case, Examples)]
NEW_CLASSES = [name for name in EXAMPLES if DATASETS[name].new_classes]
FAMILIES = [name for name, case in DATASETS.items() if isinstance(case, Families)]


def module(name):
    return importlib.import_module(f"keras_metaloss.datasets.{name}")


@pytest.fixture
def load(tmp_path, monkeypatch):
    """Writes a small copy of a dataset and returns its splits."""
    monkeypatch.setenv("KERAS_METALOSS_DATA", str(tmp_path))

    def splits(name):
        return module(name).load_data(**DATASETS[name].write(tmp_path))

    return splits


def describe(arrays, count):
    """Returns `(dtype, shape of one example)` for each of `count` examples."""

    def one(array):
        assert type(array) is np.ndarray
        assert len(array) == count
        return str(array.dtype), array.shape[1:]

    if isinstance(arrays, dict):
        return {name: one(array) for name, array in arrays.items()}
    return one(arrays)


def test_every_dataset_is_in_the_table():
    folder = Path(kml.datasets.__file__).parent
    public = {
        found.name
        for found in pkgutil.iter_modules([str(folder)])
        if not found.name.startswith("_")
    }
    assert set(kml.datasets.__all__) == public == set(DATASETS)
    assert sorted(kml.datasets.__all__) == list(DATASETS)


@pytest.mark.parametrize("name", DATASETS)
def test_function_is_named_alike(name):
    functions = {"load_data", "load_tasks"} & set(vars(module(name)))
    expected = "load_data" if name in EXAMPLES else "load_tasks"
    assert functions == {expected}
    assert expected in module(name).__all__


@pytest.mark.parametrize("name", EXAMPLES)
def test_splits_are_pairs_of_arrays(load, name):
    case = DATASETS[name]
    splits = load(name)
    assert type(splits) is tuple and len(splits) in (2, 3)
    for split, count in zip(splits, case.splits, strict=True):
        assert type(split) is tuple and len(split) == 2
        x, y = split
        assert describe(x, count) == case.x
        assert describe(y, count) == case.y


@pytest.mark.parametrize("name", NEW_CLASSES)
def test_labels_start_from_zero_in_each_split(load, name):
    for x, y in load(name):
        labels = DATASETS[name].new_classes(x, y)
        assert set(labels) == set(range(labels.max() + 1))
        assert (np.diff(labels) >= 0).all()


@pytest.mark.parametrize("name", EXAMPLES)
def test_same_arguments_give_the_same_arrays(load, name):
    first, second = load(name), load(name)
    keras.tree.map_structure(np.testing.assert_array_equal, first, second)


@pytest.mark.parametrize("name", EXAMPLES)
def test_path_is_the_first_argument_of_files(name):
    signature = inspect.signature(module(name).load_data)
    reads_files = "KERAS_METALOSS_DATA" in inspect.getdoc(module(name).load_data)
    assert ("path" in signature.parameters) == reads_files
    if reads_files:
        first = next(iter(signature.parameters.values()))
        assert (first.name, first.default) == ("path", None)


@pytest.mark.parametrize("name", FAMILIES)
def test_families_are_function_tasks(name):
    function = module(name).load_tasks
    parameters = list(inspect.signature(function).parameters)
    assert parameters[:2] == ["shots", "queries"] and parameters[-1] == "seed"
    families = function(shots=3, queries=4, **DATASETS[name].arguments)
    assert type(families) is tuple and len(families) == 3
    targets = []
    for family in families:
        assert isinstance(family, kml.tasks.FunctionTasks)
        x, y = family.batch(0, tasks_per_batch=2)
        shapes = {key: array.shape for key, array in x.items()}
        assert shapes == {
            "support_x": (2, 3, 1),
            "support_y": (2, 3, 1),
            "query_x": (2, 4, 1),
        }
        assert y.shape == (2, 4, 1) and y.dtype == np.float32
        targets.append(y)
    assert not any(np.array_equal(targets[i], targets[i - 1]) for i in range(3))
