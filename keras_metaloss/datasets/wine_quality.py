"""Wine Quality: chemistry, color and score of 6,497 Portuguese wines.

The dataset is not part of this package: it is downloaded from the UCI Machine Learning
Repository, or read from a local copy. Cortez, Cerdeira, Almeida, Matos and Reis, 2009,
doi 10.24432/C56S3T. License: CC BY 4.0.
"""

from __future__ import annotations

import os
import zipfile
from pathlib import Path

import numpy as np

from keras_metaloss.datasets._places import VARIABLE, download, given_place

__all__ = ["load_data"]

_ORIGIN = "https://archive.ics.uci.edu/static/public/186/wine+quality.zip"
_HASH = "3ed56667f4b828242bd732d7d1dd7f2861e54432239d7fa63877014cbb0304d4"


def load_data(
    path: str | os.PathLike | None = None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Loads Wine Quality: measurements, color and score of each wine.

    Args:
        path: The authors' zip file, an `.npz` file with the arrays `x`, `is_white` and
            `quality`, or a folder with `wine_quality.npz`. Defaults to `None`, which
            means the path in the environment variable `KERAS_METALOSS_DATA`; if that is
            not set either, the zip file (89 kB) is downloaded once into Keras's dataset
            folder.

    Returns:
        `(x, is_white, quality, group)`:

        - `x`: float64 `[N, 11]`, measurements, not scaled.
        - `is_white`: int32 `[N]`, 1 for white and 0 for red wines.
        - `quality`: float32 `[N]`, the score from 0 to 10.
        - `group`: int32 `[N]`, equal for wines with equal measurements. Nearly a fifth
          of the rows are duplicates: assign each group to one side of a split.

    Raises:
        ValueError: If `path` does not exist or does not contain the dataset.

    Example:

    ```python
    x, is_white, quality, group = wine_quality.load_data()
    ```
    """
    x, is_white, quality = _read(path)
    group = np.unique(x, axis=0, return_inverse=True)[1].reshape(-1)
    return (
        x,
        is_white.astype("int32"),
        quality.astype("float32"),
        group.astype("int32"),
    )


def _read(path):
    given = given_place(path)
    if not given:
        return _from_zip(download(_ORIGIN, _HASH))
    place = Path(given).expanduser()
    if place.is_dir():
        place = place / "wine_quality.npz"
    if place.is_file() and place.suffix == ".npz":
        with np.load(place) as data:
            return data["x"], data["is_white"], data["quality"]
    if place.is_file() and zipfile.is_zipfile(place):
        return _from_zip(place)
    raise ValueError(
        "Invalid value for argument `path`. Expected the authors' zip file, an .npz "
        "file or a folder with wine_quality.npz. If neither `path` nor the "
        f"environment variable {VARIABLE} is set, the dataset is downloaded. Received: "
        f"path={str(given)!r}"
    )


def _from_zip(place: Path):
    tables = []
    with zipfile.ZipFile(place) as archive:
        for name in ("winequality-red.csv", "winequality-white.csv"):
            with archive.open(name) as file:
                tables.append(np.genfromtxt(file, delimiter=";", skip_header=1))
    table = np.concatenate(tables)
    is_white = np.repeat([0, 1], [len(part) for part in tables])
    return table[:, :-1], is_white, table[:, -1]
