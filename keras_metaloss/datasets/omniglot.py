"""Omniglot: 1,623 handwritten characters of 50 alphabets, 20 drawings each.

The dataset is not part of this package: it is downloaded from its author's repository,
or read from a local copy. MIT License, Copyright (c) 2015 Brenden Lake. The split
`"vinyals"` follows the list in github.com/jakesnell/prototypical-networks, MIT License,
Copyright (c) 2017 Jake Snell.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from keras_metaloss.datasets import _omniglot_files
from keras_metaloss.datasets._places import VARIABLE, download, given_place
from keras_metaloss.datasets._splits import ArraySplit, labeled_split

__all__ = ["load_data"]

_ORIGIN = "https://github.com/brendenlake/omniglot/raw/master/python/"
# SHA-256 of images_background.zip and images_evaluation.zip.
_HASHES = {
    "background": "ad41ab679c8b5d90b271ef46be6987cc81211774a695c29dcc5367b2b26ee640",
    "evaluation": "1f61a8f3366785b057fc117d9228e78a16e3d976c8953b2a10fcc74cf0609cee",
}


def load_data(
    path: str | os.PathLike[str] | None = None, split: str = "vinyals"
) -> tuple[ArraySplit, ArraySplit, ArraySplit]:
    """Loads Omniglot at 28x28 pixels.

    The original drawings are 105x105 pixels with black ink. They are inverted and
    resized to 28x28 by area averaging: each pixel is the mean of the 3.75 x 3.75
    original pixels that it covers.

    Two splits are available:

    - `"vinyals"`: 1,028 characters for training, 172 for validation, 423 for test.
      Few-shot papers since Matching Networks use this split, usually with additional
      classes: images rotated by 90, 180 and 270 degrees. This function does not rotate
      images; set `rotation_classes=True` in `keras_metaloss.tasks.EpisodeSampler`.
    - `"background"`: the authors' split. The 30 background alphabets (964 characters)
      are for training and validation; five of them (172 characters) are for validation:
      Armenian, Bengali, Early Aramaic, Hebrew and Mkhedruli, as in `"vinyals"`. The
      659 characters of the 20 evaluation alphabets are for test.

    The training characters of `"vinyals"` include 236 characters of the evaluation
    alphabets. Train with `split="background"` to evaluate a model on these alphabets.

    Args:
        path: An `.npz` file with the array `images` (uint8
            `[classes, drawings, 28, 28]`, ink 255) and three arrays of one string per
            class: `alphabet`, `split` (`background` or `evaluation`) and
            `vinyals_split` (`train`, `val` or `test`); or a folder that contains
            `omniglot.npz`; or a folder that contains the authors' folders of PNG files,
            `images_background` and `images_evaluation`. Defaults to `None`, which means
            the path in the environment variable `KERAS_METALOSS_DATA`; if that is not
            set either, the authors' files (16 MB) are downloaded once into Keras's
            dataset folder.
        split: `"vinyals"` or `"background"`. Defaults to `"vinyals"`.

    Returns:
        `(x_train, y_train), (x_val, y_val), (x_test, y_test)`. `x` is a uint8 array
        `[classes * 20, 28, 28, 1]` with ink 255 and background 0. `y` is an int32 array
        `[classes * 20]` of integer labels that start from 0 in each split; the splits
        share no classes. Images are sorted by class.

    Raises:
        ValueError: If `split` is unknown, if `path` does not exist or does not contain
            the dataset, or if the hash of a downloaded file is wrong.

    Example:

    ```python
    (x_train, y_train), (x_val, y_val), (x_test, y_test) = omniglot.load_data()
    ```

    Reference:

    - Lake, Salakhutdinov and Tenenbaum, 2015, "Human-level concept learning through
      probabilistic program induction", Science 350.
    - [Vinyals et al., 2016](https://arxiv.org/abs/1606.04080).
    """
    if split not in ("vinyals", "background"):
        raise ValueError(
            "Invalid value for argument `split`. Expected 'vinyals' or 'background'. "
            f"Received: split={split!r}"
        )
    arrays = _read(path)
    if split == "vinyals":
        names = arrays["vinyals_split"]
    else:
        # The validation alphabets of "vinyals" are all background alphabets.
        names = np.where(arrays["vinyals_split"] == "val", "val", "train")
        names = np.where(arrays["split"] == "evaluation", "test", names)
    train, val, test = (
        labeled_split(arrays["images"][names == name])
        for name in ("train", "val", "test")
    )
    return train, val, test


def _read(path: str | os.PathLike[str] | None) -> dict[str, np.ndarray]:
    """Reads `path`, the path in the environment variable, or the authors' zip files."""
    name, path = "path" if path else VARIABLE, given_place(path)
    if not path:
        return _omniglot_files.read_zips(_download())
    place = Path(path).expanduser()
    if (place / "omniglot.npz").is_file():
        place = place / "omniglot.npz"
    if place.is_file() and place.suffix == ".npz":
        return _omniglot_files.read_npz(place)
    if (place / "images_background").is_dir():
        return _omniglot_files.read_png_folder(place)
    kind = "argument `path`" if name == "path" else f"environment variable `{name}`"
    raise ValueError(
        f"Invalid value for {kind}. Expected an .npz file, a folder with omniglot.npz, "
        "or a folder with images_background and images_evaluation. If neither `path` "
        f"nor {VARIABLE} is set, the dataset is downloaded. Received: "
        f"{name}={str(path)!r}"
    )


def _download() -> dict[str, Path]:
    return {
        part: download(f"{_ORIGIN}images_{part}.zip", digest)
        for part, digest in _HASHES.items()
    }
