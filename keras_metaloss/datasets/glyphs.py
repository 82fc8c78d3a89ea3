"""Glyphs: a few-shot image set rendered from the typefaces that Matplotlib installs.

A class is a character; its drawings show it in up to 16 typefaces (DejaVu Sans, Sans
Mono and Serif, STIX; upright, bold and slanted), each time rotated, sheared,
stretched, scaled and shifted anew. Nothing is downloaded.

Characters. All that at least eight of the typefaces have, except control characters,
spaces, combining marks, modifier letters, superscripts and subscripts, second code
points of one character, Braille, box drawing, blocks and arrows: about 2,300.

Classes. Look-alikes are one class: Latin "A", Greek "Alpha" and Cyrillic "A", but also
"C" and "c", or most of the accented letters that differ in a pixel or two at 28x28.
They are found by comparing the rendered shapes, fitted to one size, in each typeface;
two characters are look-alikes if they agree in at least half of the typefaces that
have both (letters of two scripts need to agree less closely than others). Each class
is drawn from its first character alone (ASCII first, then the scripts in the order
Latin, Greek, Cyrillic, Armenian, Georgian, Lao, then digits, marks and symbols; by
code point within each), and a look-alike of it is drawn nowhere.

Splits. By script, as Unicode names it, so that neither characters nor scripts are
shared. With Matplotlib 3.8 to 3.11 and the Unicode data of Python 3.11:

| split      | classes | scripts                                               |
| ---------- | ------- | ----------------------------------------------------- |
| train      | 1,133   | Latin (610); digits, punctuation and symbols (523)    |
| validation | 125     | Greek                                                 |
| test       | 267     | Georgian (108), Cyrillic (74), Armenian (55), Lao (30) |

One nearest neighbour on pixels answers 5-way 1-shot tasks of the test split with an
accuracy of about 0.58.
"""

from __future__ import annotations

import os
import time
import zipfile
from pathlib import Path

import keras
import numpy as np

from keras_metaloss.checks import check_positive_integer, check_seed
from keras_metaloss.datasets._class_labels import with_labels

__all__ = ["load_data"]

# Part of the name of the cached file: raise it whenever the same arguments would give
# other images.
_VERSION = 1


def load_data(
    size: int = 28,
    drawings: int = 20,
    cache_dir: str | os.PathLike | None = None,
    seed: int = 0,
) -> tuple[
    tuple[np.ndarray, np.ndarray],
    tuple[np.ndarray, np.ndarray],
    tuple[np.ndarray, np.ndarray],
]:
    """Load the glyphs: characters of many scripts in many typefaces.

    The first call renders the set, in well under a minute, and keeps it on disk; later
    calls with the same arguments read it from there. The same arguments give the same
    images. There are about 1,130 classes to train on (Latin, digits, marks and
    symbols), 125 to validate on (Greek) and 267 to test on (Georgian, Cyrillic,
    Armenian and Lao). See the module's documentation for how they are chosen.

    Args:
        size: side of the images in pixels.
        drawings: number of images of each class.
        cache_dir: where the rendered set is kept, in `datasets/keras_metaloss`.
            Defaults to the folder that Keras keeps data sets in: the environment
            variable `KERAS_HOME`, or `~/.keras`.
        seed: seed of the drawings. The classes do not depend on it.

    Returns:
        `(x_train, y_train), (x_val, y_val), (x_test, y_test)`. `x` is a uint8 array
        `[classes * drawings, size, size, 1]`, ink 255 and paper 0. `y` is an int32
        array `[classes * drawings]` of class indices, counted from 0 in each split;
        the classes of different splits are different. The images of a class stand
        together.

    Raises:
        ValueError: if `size`, `drawings` or `seed` is out of range.

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
        print(f"Rendering the glyphs once, to be kept as {path}")
        images = _render(size, drawings, seed)
        _write(path, images)
    return tuple(with_labels(images[split]) for split in ("train", "val", "test"))


def _render(size: int, drawings: int, seed: int) -> dict[str, np.ndarray]:
    """Images of all classes, by split: uint8 `[classes, drawings, size, size]`."""
    # Only here, so that a set on disk is read without Matplotlib.
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
    """The cached images, or `None` where there are none that can be read."""
    try:
        with open(path, "rb") as file, np.load(file) as archive:
            return {name: archive[name] for name in ("train", "val", "test")}
    except FileNotFoundError:
        return None
    except (OSError, EOFError, KeyError, ValueError, zipfile.BadZipFile):
        print(f"Rendering again what cannot be read: {path}")
        return None


def _write(path: Path, images: dict[str, np.ndarray]) -> None:
    """Keep the images under a name that only ever holds a whole file."""
    unfinished = path.with_suffix(f".{os.getpid()}.{time.time_ns()}.tmp")
    try:
        with open(unfinished, "wb") as file:
            np.savez_compressed(file, **images)
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)
