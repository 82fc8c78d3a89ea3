"""FS-Mol: molecules measured in bioassays, active or not and how strongly.

The data set is not part of this package: assays are downloaded one by one from the
authors' public repository, or read from a local copy. Stanley et al., "FS-Mol: A
Few-Shot Learning Dataset of Molecules", NeurIPS 2021, from ChEMBL 27; licence CC BY-SA
3.0, which binds what is made from it.
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

# The last commit of the repository that holds the data.
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
    """What one assay measured.

    Attributes:
        name: its ChEMBL identifier.
        fingerprint: which of 2,048 Morgan substructures a molecule has, uint8
            `[N, 2048]` of 0 and 1.
        active: 1 for active molecules, int32 `[N]`.
        log_value: logarithm of the measured value, float32 `[N]`; NaN where it is not
            given. Higher is more active in most assays, less in some: see how it goes
            with `active`, and standardise it within the assay.
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
    """Load some assays of FS-Mol: a class and a number for each molecule.

    Args:
        path: a folder with the authors' files `<assay>.jsonl.gz`, or with their folders
            `train`, `valid` and `test`; an `.npz` file with the arrays `task_id`,
            `task_offset`, `fingerprint` (packed bits), `active` and `log_value`; or a
            folder with `fsmol_subset.npz`. Defaults to the environment variable
            `KERAS_METALOSS_DATA`; if that is not set either, each assay is downloaded
            once (some megabytes) into Keras's data set folder.
        assays: ChEMBL identifiers. By default six of the largest test assays whose
            measured value says how active a molecule is.
        fold: `"train"`, `"valid"` or `"test"`, where the authors have put the assays.

    Returns:
        A list of `Assay`, in the order of `assays`.

    Raises:
        ValueError: if `path` or an assay in it is missing, or `fold` is unknown.

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
            "Invalid value for argument `path`. Expected a folder with the file "
            f"<assay>.jsonl.gz of each assay, an .npz file or a folder with {_ARRAYS}; "
            f"with neither `path` nor the environment variable {VARIABLE} set, assays "
            f"are downloaded. Received: path={str(given)!r} without {missing}"
        )
    return [_from_lines(name, file) for name, file in files.items()]


def _from_lines(name, place):
    """An assay in the authors' form, a molecule a line."""
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
            "Invalid value for argument `assays`. Expected names of "
            f"{place}, for instance {list(index)[:3]}. Received: assays with {missing}"
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
