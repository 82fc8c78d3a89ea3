"""FS-Mol: bioassays that measure whether molecules are active, and how strongly.

The dataset is not part of this package: assays are downloaded individually from the
authors' public repository, or read from a local copy. It was published by Stanley et
al., "FS-Mol: A Few-Shot Learning Dataset of Molecules", NeurIPS 2021, and is derived
from ChEMBL 27. License: CC BY-SA 3.0, which also applies to derived data.
"""

from __future__ import annotations

import functools
import gzip
import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from keras_metaloss.datasets._places import VARIABLE, download, given_place
from keras_metaloss.datasets._splits import NamedArrays

__all__ = ["ASSAYS", "load_data"]

# The last commit of the repository that contains the data.
_ORIGIN = (
    "https://raw.githubusercontent.com/microsoft/FS-Mol/"
    "3f48152b5f72bad475d82c22af11366ec0b19d79/datasets"
)
_ARRAYS = "fsmol_subset.npz"
_BITS = 2048
# The authors' folder of each split.
_FOLDERS = {"train": "train", "val": "valid", "test": "test"}

ASSAYS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "train": (
            "CHEMBL2354301",
            "CHEMBL1614529",
            "CHEMBL1963835",
            "CHEMBL1963837",
            "CHEMBL1963779",
            "CHEMBL1963823",
        ),
        "val": ("CHEMBL1614432", "CHEMBL1964107", "CHEMBL1963790"),
        "test": (
            "CHEMBL1613800",
            "CHEMBL1614292",
            "CHEMBL1964101",
            "CHEMBL1963741",
            "CHEMBL1963756",
            "CHEMBL1614522",
        ),
    }
)

_Split = tuple[NamedArrays, NamedArrays]


class _Assay(NamedTuple):
    """Measurements of one assay, one row per molecule."""

    fingerprint: np.ndarray
    active: np.ndarray
    log_value: np.ndarray


def load_data(
    path: str | os.PathLike[str] | None = None,
    assays: Mapping[str, Sequence[str]] = ASSAYS,
) -> tuple[_Split, _Split, _Split]:
    """Loads assays of FS-Mol: a binary label and a measured value per molecule.

    Each assay is a task. The authors' splits have different assays, so that a model is
    tested on assays that it was not trained on. The same molecule may occur in several
    assays.

    Args:
        path: A folder with the authors' files `<assay>.jsonl.gz`, or with their folders
            `train`, `valid` and `test`; an `.npz` file with the arrays `task_id`,
            `task_offset`, `fingerprint` (packed bits), `active` and `log_value`; or a
            folder with `fsmol_subset.npz`. Defaults to `None`, which means the path in
            the environment variable `KERAS_METALOSS_DATA`; if that is not set either,
            each assay is downloaded once (a few megabytes) into Keras's dataset folder.
        assays: Dictionary from `"train"`, `"val"` and `"test"` to ChEMBL identifiers of
            assays in the authors' split of that name. A split that is omitted is empty.
            Defaults to `ASSAYS`: 6 training, 3 validation and 6 test assays, which are
            among the largest ones whose measured value quantifies activity.

    Returns:
        `(x_train, y_train), (x_val, y_val), (x_test, y_test)`. `x` is a dictionary:

        - `"fingerprint"`: uint8 `[N, 2048]`, 1 if the molecule contains the Morgan
          substructure, otherwise 0.
        - `"assay"`: int32 `[N]`, the index of the assay in the sequence of its split
          in `assays`. Molecules are sorted by assay.

        `y` is a dictionary:

        - `"active"`: int32 `[N]`, 1 for active molecules, 0 for inactive ones.
        - `"log_value"`: float32 `[N]`, the logarithm of the measured value; NaN if it
          is missing. In most assays, molecules with higher values are more active; in
          some assays, they are less active. Check the correlation with `"active"`, and
          standardize the values within each assay.

    Raises:
        ValueError: If `path` or an assay in it is missing, or if a key of `assays` is
            unknown.

    Example:

    ```python
    (x_train, y_train), (x_val, y_val), (x_test, y_test) = fsmol.load_data()
    for index, name in enumerate(fsmol.ASSAYS["test"]):
        print(name, y_test["active"][x_test["assay"] == index].mean())
    ```

    Reference:
        Stanley et al., "FS-Mol: A Few-Shot Learning Dataset of Molecules", 2021.
    """
    if not set(assays) <= set(_FOLDERS):
        raise ValueError(
            'Invalid value for argument `assays`. Expected the keys "train", "val" or '
            f'"test". Received: assays with keys {sorted(assays)}'
        )
    read = _reader(given_place(path))
    train, val, test = (
        _concatenate(read(folder, assays.get(split, ())))
        for split, folder in _FOLDERS.items()
    )
    return train, val, test


def _reader(
    given: str | os.PathLike[str] | None,
) -> Callable[[str, Sequence[str]], list[_Assay]]:
    """Returns a function that reads assays, given the authors' folder and names."""
    if not given:
        return _download
    place = Path(given).expanduser()
    arrays = place / _ARRAYS if place.is_dir() else place
    if arrays.is_file() and arrays.suffix == ".npz":
        return functools.partial(_from_arrays, arrays)
    return functools.partial(_from_folder, place)


def _concatenate(assays: Sequence[_Assay]) -> _Split:
    """Returns the inputs and targets of a split; its arrays may have no rows."""
    empty = _Assay(
        np.empty((0, _BITS), "uint8"), np.empty(0, "int32"), np.empty(0, "float32")
    )
    columns = zip(*(assays or [empty]), strict=True)
    fingerprint, active, log_value = (np.concatenate(column) for column in columns)
    sizes = [len(assay.active) for assay in assays]
    index = np.repeat(np.arange(len(assays), dtype="int32"), sizes)
    return (
        {"fingerprint": fingerprint, "assay": index},
        {"active": active, "log_value": log_value},
    )


def _download(folder: str, names: Sequence[str]) -> list[_Assay]:
    """Downloads the authors' files unless they are cached, and reads them."""
    files = [download(f"{_ORIGIN}/{folder}/{name}.jsonl.gz") for name in names]
    return [_from_lines(file) for file in files]


def _from_folder(place: Path, folder: str, names: Sequence[str]) -> list[_Assay]:
    """Reads the authors' files in `place` or in its subfolder `folder`."""
    parent = place / folder if (place / folder).is_dir() else place
    files = {name: parent / f"{name}.jsonl.gz" for name in names}
    missing = [name for name, file in files.items() if not file.is_file()]
    if missing:
        raise ValueError(
            "Invalid value for argument `path`. Expected a folder with one file "
            f"<assay>.jsonl.gz per assay, an .npz file or a folder with {_ARRAYS}. If "
            f"neither `path` nor the environment variable {VARIABLE} is set, assays "
            f"are downloaded. Received: path={str(place)!r} without {missing}"
        )
    return [_from_lines(file) for file in files.values()]


def _from_lines(place: Path) -> _Assay:
    """Reads an assay in the authors' format, one molecule per line."""
    with gzip.open(place, "rt", encoding="utf-8") as file:
        molecules = [json.loads(line) for line in file if line.strip()]
    counts = np.array([molecule["fingerprints"] for molecule in molecules])
    values = [molecule.get("LogRegressionProperty") for molecule in molecules]
    return _Assay(
        (counts > 0).astype("uint8"),
        np.array([int(float(molecule["Property"])) for molecule in molecules], "int32"),
        np.array([_number(value) for value in values], "float32"),
    )


def _number(text: str | float | None) -> float:
    """Returns the value as a float, NaN if it is missing."""
    return np.nan if text in (None, "", "None") else float(text)


def _from_arrays(place: Path, _: str, names: Sequence[str]) -> list[_Assay]:
    """Reads assays from an `.npz` file, which contains all splits."""
    if not names:
        return []
    with np.load(place) as data:
        arrays = {
            key: data[key]
            for key in ("task_id", "task_offset", "fingerprint", "active", "log_value")
        }
    index = {name: number for number, name in enumerate(arrays["task_id"].tolist())}
    missing = [name for name in names if name not in index]
    if missing:
        raise ValueError(
            "Invalid value for argument `assays`. Expected names of assays in "
            f"{place}, for example {list(index)[:3]}. Received: assays with {missing}"
        )
    found = []
    for name in names:
        rows = slice(*arrays["task_offset"][index[name] : index[name] + 2])
        found.append(
            _Assay(
                np.unpackbits(arrays["fingerprint"][rows], axis=1),
                arrays["active"][rows].astype("int32"),
                arrays["log_value"][rows].astype("float32"),
            )
        )
    return found
