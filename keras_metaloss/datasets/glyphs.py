"""Glyphs: a few-shot image dataset rendered from Matplotlib's bundled typefaces.

Each class is a character. Its drawings show it in up to 16 typefaces (DejaVu Sans, Sans
Mono and Serif, STIX; upright, bold and slanted), each randomly rotated, sheared,
stretched, scaled and shifted. Nothing is downloaded.

Characters: the dataset contains the characters that are in at least eight of the
typefaces, about 2,300. Control characters, spaces, combining marks, modifier letters,
superscripts, subscripts, duplicate code points of a character, Braille, box drawing,
blocks and arrows are excluded.

Classes: characters that look alike form one class. Examples are Latin "A", Greek
"Alpha" and Cyrillic "A"; "C" and "c"; and most accented letters that differ in one or
two pixels at 28x28. Look-alikes are found by comparing the rendered shapes, scaled to
equal size, in each typeface. Two characters are look-alikes if their shapes match in at
least half of the typefaces that contain both. The tolerance is larger for letters of
different scripts. Only the first character of each class is drawn; its look-alikes are
not used. Characters are ordered as follows: ASCII, then the scripts Latin, Greek,
Cyrillic, Armenian, Georgian and Lao, then digits, marks and symbols; by code point
within each group.

Splits: classes are split by Unicode script, so that splits share neither characters nor
scripts. The number of classes with Matplotlib 3.8 to 3.11 and the Unicode data of
Python 3.11:

| split      | classes | scripts                                               |
| ---------- | ------- | ----------------------------------------------------- |
| train      | 1,133   | Latin (610); digits, punctuation and symbols (523)    |
| validation | 125     | Greek                                                 |
| test       | 267     | Georgian (108), Cyrillic (74), Armenian (55), Lao (30) |

A nearest-neighbor classifier on pixels has an accuracy of about 0.58 on 5-way 1-shot
tasks of the test split.
"""

from __future__ import annotations

import os
import time
import zipfile
from pathlib import Path

import keras
import numpy as np

from keras_metaloss._utils.checks import check_positive_integer, check_seed
from keras_metaloss.datasets._splits import ArraySplit, labeled_split

__all__ = ["load_data"]

# Part of the name of the cached file. Increment it if a change of the code changes the
# images.
_VERSION = 1
_SPLITS = ("train", "val", "test")


def load_data(
    size: int = 28,
    drawings: int = 20,
    cache_dir: str | os.PathLike[str] | None = None,
    seed: int = 0,
) -> tuple[ArraySplit, ArraySplit, ArraySplit]:
    """Loads the glyphs: characters of many scripts in many typefaces.

    The first call renders the dataset, in less than a minute, and caches it on disk;
    later calls with the same arguments read the cache. The same arguments give the same
    images. There are about 1,130 training classes (Latin, digits, marks and symbols),
    125 validation classes (Greek) and 267 test classes (Georgian, Cyrillic, Armenian
    and Lao). The docstring of the module explains how they are selected.

    Args:
        size: Height and width of the images in pixels. Defaults to `28`.
        drawings: Number of images per class. Defaults to `20`.
        cache_dir: Folder of the cache, which is written to its subfolder
            `datasets/keras_metaloss`. Defaults to `None`, which means Keras's folder:
            the environment variable `KERAS_HOME`, or `~/.keras` if it is not set.
        seed: Non-negative integer, seed of the drawings. The classes do not depend on
            it. Defaults to `0`.

    Returns:
        `(x_train, y_train), (x_val, y_val), (x_test, y_test)`. `x` is a uint8 array
        `[classes * drawings, size, size, 1]` with ink 255 and background 0. `y` is an
        int32 array `[classes * drawings]` of integer labels that start from 0 in each
        split; the splits share no classes. Images are sorted by class.

    Raises:
        ValueError: If `size` or `drawings` is not a positive integer, or if `seed` is
            not a non-negative integer.

    Example:

    ```python
    (x_train, y_train), (x_val, y_val), (x_test, y_test) = glyphs.load_data()
    episodes = kml.tasks.EpisodeSampler(
        x_train / 255, y_train, ways=5, shots=1, queries=15
    )
    ```
    """
    size = check_positive_integer("size", size)
    drawings = check_positive_integer("drawings", drawings)
    seed = check_seed(seed)
    base = cache_dir or os.environ.get("KERAS_HOME") or Path.home() / ".keras"
    folder = Path(base).expanduser() / "datasets" / "keras_metaloss"
    path = folder / f"glyphs-v{_VERSION}-{size}x{size}-{drawings}-seed{seed}.npz"
    images = _read(path)
    if images is None:
        folder.mkdir(parents=True, exist_ok=True)
        print(f"Rendering the glyphs dataset once; it is cached in {path}")
        images = _render(size, drawings, seed)
        _write(path, images)
    train, val, test = (labeled_split(images[name]) for name in _SPLITS)
    return train, val, test


def _render(size: int, drawings: int, seed: int) -> dict[str, np.ndarray]:
    """Renders all classes of each split: uint8 `[classes, drawings, size, size]`."""
    # Imported here, so that reading the cache does not import Matplotlib.
    from keras_metaloss.datasets import _glyph_classes, _glyph_drawings, _glyph_outlines

    found = _glyph_classes.candidates(_glyph_outlines.load_typefaces())
    splits = _glyph_classes.split(_glyph_classes.leaders(found))
    progress = keras.utils.Progbar(
        sum(map(len, splits.values())), interval=1, unit_name="class"
    )
    images = {}
    for name, characters in splits.items():
        images[name] = np.empty((len(characters), drawings, size, size), "uint8")
        for index, character in enumerate(characters):
            images[name][index] = _glyph_drawings.draw(
                character, found[character], drawings, size, seed
            )
            progress.add(1)
    return images


def _read(path: Path) -> dict[str, np.ndarray] | None:
    """Returns the cached images, or `None` if there is no readable cache."""
    try:
        with open(path, "rb") as file, np.load(file) as archive:
            return {name: archive[name] for name in _SPLITS}
    except FileNotFoundError:
        return None
    except (OSError, EOFError, KeyError, ValueError, zipfile.BadZipFile):
        print(f"Rendering again because the cache cannot be read: {path}")
        return None


def _write(path: Path, images: dict[str, np.ndarray]) -> None:
    """Writes the cache atomically: the file is complete or does not exist."""
    unfinished = path.with_suffix(f".{os.getpid()}.{time.time_ns()}.tmp")
    try:
        with open(unfinished, "wb") as file:
            np.savez_compressed(
                file, train=images["train"], val=images["val"], test=images["test"]
            )
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)
