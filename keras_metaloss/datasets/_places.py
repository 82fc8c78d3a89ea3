"""Location of a dataset: an argument, an environment variable, or a download."""

from __future__ import annotations

import os
from pathlib import Path

import keras

__all__ = ["VARIABLE", "download", "given_place"]

VARIABLE = "KERAS_METALOSS_DATA"


def given_place(path: str | os.PathLike[str] | None) -> str | os.PathLike[str] | None:
    """Returns `path`, else the path in the environment variable, else `None`."""
    return path or os.environ.get(VARIABLE)


def download(origin: str, digest: str | None = None) -> Path:
    """Downloads `origin` once into Keras's dataset folder and verifies its SHA-256.

    `digest` may be omitted if the URL identifies the content, for example by a commit.
    """
    file = keras.utils.get_file(
        origin=origin,
        cache_subdir="datasets/keras_metaloss",
        file_hash=digest,
        hash_algorithm="sha256",
    )
    return Path(file)
