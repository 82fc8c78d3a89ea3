"""Where a data set comes from: an argument, the environment, or a download."""

from __future__ import annotations

import os
from pathlib import Path

import keras

__all__ = ["VARIABLE", "download", "given_place"]

VARIABLE = "KERAS_METALOSS_DATA"


def given_place(path: str | os.PathLike | None) -> str | os.PathLike | None:
    """`path`, or else the environment's path, or else `None`."""
    return path or os.environ.get(VARIABLE)


def download(origin: str, digest: str | None = None) -> Path:
    """The file at `origin`, kept in Keras's data set folder, its sha256 checked.

    `digest` may be left out where the address names the content, as a commit does.
    """
    file = keras.utils.get_file(
        origin=origin,
        cache_subdir="datasets/keras_metaloss",
        file_hash=digest,
        hash_algorithm="sha256",
    )
    return Path(file)
