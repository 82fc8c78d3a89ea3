"""FS-Mol: bioassays that measure whether molecules are active, and how strongly.

The dataset is not part of this package: assays are downloaded individually from the
authors' public repository, or read from a local copy. Stanley et al., "FS-Mol: A
Few-Shot Learning Dataset of Molecules", NeurIPS 2021, from ChEMBL 27. License: CC BY-SA
3.0, which also applies to derived data.
"""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from keras_metaloss.datasets._places import VARIABLE, download, given_place

__all__ = ["ASSAYS", "Assay", "load_data"]

# The last commit of the repository that contains the data.
_ORIGIN = (
    "https://raw.githubusercontent.com/microsoft/FS-Mol/"
    "3f48152b5f72bad475d82c22af11366ec0b19d79/datasets"
)
_ARRAYS = "fsmol_subset.npz"

ASSAYS = (
    "CHEMBL1613800",
    "CHEMBL1614292",
    "CHEMBL1964101",
    "CHEMBL1963741",
    "CHEMBL1963756",
    "CHEMBL1614522",
)


class Assay(NamedTuple):
    """Measurements of one assay.

    Attributes:
        name: ChEMBL identifier.
        fingerprint: uint8 array `[N, 2048]`: 1 if the molecule contains the Morgan
            substructure, otherwise 0.
        active: int32 array `[N]`: 1 for active molecules, 0 for inactive ones.
        log_value: float32 array `[N]`, the logarithm of the measured value; NaN if it
            is missing. Higher values mean more active molecules in most assays, less
            active ones in some: check the correlation with `active`, and standardize
            the values within the assay.
    """

    name: str
    fingerprint: np.ndarray
    active: np.ndarray
    log_value: np.ndarray


def load_data(
    path: str | os.PathLike | None = None,
    assays: Sequence[str] = ASSAYS,
    fold: str = "test",
) -> list[Assay]:
    """Loads assays of FS-Mol: a binary label and a measured value per molecule.

    Args:
        path: A folder with the authors' files `<assay>.jsonl.gz`, or with their folders
            `train`, `valid` and `test`; an `.npz` file with the arrays `task_id`,
            `task_offset`, `fingerprint` (packed bits), `active` and `log_value`; or a
            folder with `fsmol_subset.npz`. Defaults to `None`, which means the path in
            the environment variable `KERAS_METALOSS_DATA`; if that is not set either,
            each assay is downloaded once (some megabytes) into Keras's dataset folder.
        assays: Sequence of ChEMBL identifiers. Defaults to `ASSAYS`: six of the largest
            test assays whose measured value is a measure of activity.
        fold: `"train"`, `"valid"` or `"test"`: the authors' split that contains the
            assays. Defaults to `"test"`.

    Returns:
        A list of `Assay`, in the order of `assays`.

    Raises:
        ValueError: If `path` or an assay in it is missing, or if `fold` is unknown.

    Example:

    ```python
    for assay in fsmol.load_data():
        print(assay.name, assay.fingerprint.shape, assay.active.mean())
    ```
    """
    if fold not in ("train", "valid", "test"):
        raise ValueError(
            'Invalid value for argument `fold`. Expected "train", "valid" or "test". '
            f"Received: fold={fold!r}"
        )
    given = given_place(path)
    if not given:
        origins = {name: f"{_ORIGIN}/{fold}/{name}.jsonl.gz" for name in assays}
        return [_from_lines(name, download(url)) for name, url in origins.items()]
    place = Path(given).expanduser()
    arrays = place / _ARRAYS if place.is_dir() else place
    if arrays.is_file() and arrays.suffix == ".npz":
        return _from_arrays(arrays, assays)
    folder = place / fold if (place / fold).is_dir() else place
    files = {name: folder / f"{name}.jsonl.gz" for name in assays}
    missing = [name for name, file in files.items() if not file.is_file()]
    if missing:
        raise ValueError(
            "Invalid value for argument `path`. Expected a folder with one file "
            f"<assay>.jsonl.gz per assay, an .npz file or a folder with {_ARRAYS}. If "
            f"neither `path` nor the environment variable {VARIABLE} is set, assays "
            f"are downloaded. Received: path={str(given)!r} without {missing}"
        )
    return [_from_lines(name, file) for name, file in files.items()]


def _from_lines(name, place):
    """Reads an assay in the authors' format, one molecule per line."""
    with gzip.open(place, "rt", encoding="utf-8") as file:
        molecules = [json.loads(line) for line in file if line.strip()]
    counts = np.array([molecule["fingerprints"] for molecule in molecules])
    values = [molecule.get("LogRegressionProperty") for molecule in molecules]
    return Assay(
        name,
        (counts > 0).astype("uint8"),
        np.array([int(float(molecule["Property"])) for molecule in molecules], "int32"),
        np.array([_number(value) for value in values], "float32"),
    )


def _number(text):
    return np.nan if text in (None, "", "None") else float(text)


def _from_arrays(place, assays):
    with np.load(place) as data:
        arrays = {
            key: data[key]
            for key in ("task_id", "task_offset", "fingerprint", "active", "log_value")
        }
    index = {name: number for number, name in enumerate(arrays["task_id"].tolist())}
    missing = [name for name in assays if name not in index]
    if missing:
        raise ValueError(
            "Invalid value for argument `assays`. Expected names of assays in "
            f"{place}, for example {list(index)[:3]}. Received: assays with {missing}"
        )
    found = []
    for name in assays:
        rows = slice(*arrays["task_offset"][index[name] : index[name] + 2])
        found.append(
            Assay(
                name,
                np.unpackbits(arrays["fingerprint"][rows], axis=1),
                arrays["active"][rows].astype("int32"),
                arrays["log_value"][rows].astype("float32"),
            )
        )
    return found
