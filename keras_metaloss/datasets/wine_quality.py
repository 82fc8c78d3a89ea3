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

from keras_metaloss._utils.checks import check_seed
from keras_metaloss.datasets._places import VARIABLE, download, given_place
from keras_metaloss.datasets._splits import NamedArrays

__all__ = ["duplicate_groups", "load_data"]

_ORIGIN = "https://archive.ics.uci.edu/static/public/186/wine+quality.zip"
_HASH = "3ed56667f4b828242bd732d7d1dd7f2861e54432239d7fa63877014cbb0304d4"

_Split = tuple[np.ndarray, NamedArrays]


def load_data(
    path: str | os.PathLike[str] | None = None, test_split: float = 0.2, seed: int = 0
) -> tuple[_Split, _Split]:
    """Loads Wine Quality: measurements, color and score of each wine.

    Nearly a fifth of the wines repeat the measurements of another wine. Such duplicates
    are all in the same split. Wines are shuffled, but duplicates stay adjacent. A cut
    of the arrays at any index, such as `validation_split` of `fit`, therefore separates
    at most one group of duplicates. `duplicate_groups` returns the groups.

    Args:
        path: The authors' zip file, an `.npz` file with the arrays `x`, `is_white` and
            `quality`, or a folder with `wine_quality.npz`. Defaults to `None`, which
            means the path in the environment variable `KERAS_METALOSS_DATA`; if that is
            not set either, the zip file (89 kB) is downloaded once into Keras's dataset
            folder.
        test_split: Fraction of the groups of duplicates in the test split, at least 0
            and less than 1. Defaults to `0.2`.
        seed: Non-negative integer, seed of the shuffling and the split. Defaults to
            `0`.

    Returns:
        `(x_train, y_train), (x_test, y_test)`. `x` is a float64 array `[N, 11]` of
        measurements, not scaled. `y` is a dictionary:

        - `"is_white"`: int32 `[N]`, 1 for white and 0 for red wines.
        - `"quality"`: float32 `[N]`, the score from 0 to 10.

    Raises:
        ValueError: If `path` does not exist or does not contain the dataset, if
            `test_split` is out of range, or if `seed` is not a non-negative integer.

    Example:

    ```python
    (x_train, y_train), (x_test, y_test) = wine_quality.load_data()
    model.compile("adam", {"is_white": "binary_crossentropy", "quality": "mse"})
    model.fit(x_train, y_train, validation_split=0.2)
    ```
    """
    if not 0 <= test_split < 1:
        raise ValueError(
            "Invalid value for argument `test_split`. Expected at least 0 and less "
            f"than 1. Received: test_split={test_split!r}"
        )
    seed = check_seed(seed)
    x, is_white, quality = _read(path)
    groups = duplicate_groups(x)
    order = np.random.default_rng(seed).permutation(groups.max() + 1)
    rank = np.argsort(order)[groups]
    rows = np.argsort(rank, kind="stable")
    in_train = rank[rows] < round(len(order) * (1 - test_split))

    def split(indices: np.ndarray) -> _Split:
        return x[indices], {
            "is_white": is_white[indices].astype("int32"),
            "quality": quality[indices].astype("float32"),
        }

    return split(rows[in_train]), split(rows[~in_train])


def duplicate_groups(x: np.ndarray) -> np.ndarray:
    """Returns the group of duplicates that each wine belongs to.

    Keep each group on one side of a split. Otherwise, duplicates of test wines are in
    the training set.

    Args:
        x: Measurements `[N, 11]`.

    Returns:
        int32 array `[N]` of group indices from 0, equal for wines with equal
        measurements.

    Example:

    >>> import numpy as np
    >>> duplicate_groups(np.array([[7.4, 0.7], [5.1, 0.3], [7.4, 0.7]])).tolist()
    [1, 0, 1]
    """
    groups = np.unique(x, axis=0, return_inverse=True)[1]
    return groups.reshape(-1).astype("int32")


def _read(
    path: str | os.PathLike[str] | None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
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


def _from_zip(place: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    tables = []
    with zipfile.ZipFile(place) as archive:
        for name in ("winequality-red.csv", "winequality-white.csv"):
            with archive.open(name) as file:
                tables.append(np.genfromtxt(file, delimiter=";", skip_header=1))
    table = np.concatenate(tables)
    is_white = np.repeat([0, 1], [len(part) for part in tables])
    return table[:, :-1], is_white, table[:, -1]
