"""Omniglot: 1,623 handwritten characters of 50 alphabets, 20 drawings each.

The data set is not part of this package: it is downloaded from its author's
repository, or read from a local copy. MIT licence, Copyright (c) 2015 Brenden Lake;
the split `"vinyals"` follows the list in github.com/jakesnell/prototypical-networks,
MIT licence, Copyright (c) 2017 Jake Snell.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from keras_metaloss.datasets import _omniglot_files
from keras_metaloss.datasets._class_labels import with_labels
from keras_metaloss.datasets._places import VARIABLE, download, given_place

__all__ = ["load_data"]

_ORIGIN = "https://github.com/brendenlake/omniglot/raw/master/python/"
# sha256 of images_background.zip and images_evaluation.zip.
_HASHES = {
    "background": "ad41ab679c8b5d90b271ef46be6987cc81211774a695c29dcc5367b2b26ee640",
    "evaluation": "1f61a8f3366785b057fc117d9228e78a16e3d976c8953b2a10fcc74cf0609cee",
}


def load_data(
    path: str | os.PathLike | None = None, split: str = "vinyals"
) -> tuple[
    tuple[np.ndarray, np.ndarray],
    tuple[np.ndarray, np.ndarray],
    tuple[np.ndarray, np.ndarray],
]:
    """Load Omniglot at 28x28 pixels.

    The drawings, 105x105 with ink in black, are inverted and reduced to 28x28 by area
    averaging: each pixel is the mean of the 3.75 x 3.75 pixels under it.

    Two splits are in use:

    - `"vinyals"`: 1,028 characters to train on, 172 to validate on, 423 to test on.
      Few-shot papers since Matching Networks use it, mostly with more classes made by
      rotating the images by 90, 180 and 270 degrees, which is not done here.
    - `"background"`: the authors' own. The 30 background alphabets, 964 characters,
      of which five alphabets, 172 characters, are for validation (Armenian, Bengali,
      Early Aramaic, Hebrew and Mkhedruli, as in `"vinyals"`); the test is on the 659
      characters of the 20 evaluation alphabets.

    The training characters of `"vinyals"` hold 236 of the evaluation alphabets: a
    model to be judged on these must be trained with `split="background"`.

    Args:
        path: an `.npz` file with the arrays `images` (uint8
            `[classes, drawings, 28, 28]`, ink 255) and, one string a class,
            `alphabet`, `split` (`background` or `evaluation`) and `vinyals_split`
            (`train`, `val` or `test`); or a folder that holds `omniglot.npz`; or a
            folder that holds the authors' folders of PNG files, `images_background`
            and `images_evaluation`. Defaults to the environment variable
            `KERAS_METALOSS_DATA`; if that is not set either, the authors' files
            (16 MB) are downloaded once into Keras's data set folder.
        split: `"vinyals"` or `"background"`.

    Returns:
        `(x_train, y_train), (x_val, y_val), (x_test, y_test)`. `x` is a uint8 array
        `[classes * 20, 28, 28, 1]`, ink 255 and paper 0. `y` is an int32 array
        `[classes * 20]` of class indices, counted from 0 in each split; the classes
        of different splits are different. The images of a class stand together.

    Raises:
        ValueError: if `split` is unknown, if `path` does not exist or does not hold
            the data set, or if a downloaded file is not the expected one.

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
        # The five alphabets are those of the background that "vinyals" validates on.
        names = np.where(arrays["vinyals_split"] == "val", "val", "train")
        names = np.where(arrays["split"] == "evaluation", "test", names)
    return tuple(
        with_labels(arrays["images"][names == name])
        for name in ("train", "val", "test")
    )


def _read(path: str | os.PathLike | None) -> dict[str, np.ndarray]:
    """Read the arrays from `path`, the environment's path, or the authors' zips."""
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
        "or a folder with images_background and images_evaluation; with neither "
        f"`path` nor {VARIABLE} set, the data set is downloaded. Received: "
        f"{name}={str(path)!r}"
    )


def _download() -> dict[str, Path]:
    return {
        part: download(f"{_ORIGIN}images_{part}.zip", digest)
        for part, digest in _HASHES.items()
    }
