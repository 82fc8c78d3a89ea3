"""Readers of Omniglot: `.npz` file, the authors' folders, the authors' zip files."""

from __future__ import annotations

import zipfile
from collections import Counter
from pathlib import Path, PurePosixPath

import numpy as np
import tensorflow as tf

__all__ = ["read_npz", "read_png_folder", "read_zips"]

_PARTS = ("background", "evaluation")
_SPLITS = {"split": set(_PARTS), "vinyals_split": {"train", "val", "test"}}
_SIZE = 28
_PNG_SIZE = 105
# The split of Vinyals et al. (2016) as published in
# github.com/jakesnell/prototypical-networks, data/omniglot/splits/vinyals. If the
# characters of the evaluation alphabets are sorted by name, the test characters are
# those after the last training character.
_VALIDATION_ALPHABETS = (
    "Armenian",
    "Bengali",
    "Early_Aramaic",
    "Hebrew",
    "Mkhedruli_(Georgian)",
)
_LAST_FOR_TRAINING = ("Gurmukhi", "character41")


def read_npz(path: Path) -> dict[str, np.ndarray]:
    """Reads an `.npz` file: images `[classes, drawings, 28, 28]` and the splits."""
    names = ("images", "alphabet", "split", "vinyals_split")
    with np.load(path) as archive:
        missing = [name for name in names if name not in archive.files]
        if missing:
            raise ValueError(
                f"Invalid file in argument `path`. Expected arrays {names}; "
                f"missing {missing}. Received: path={path}"
            )
        arrays = {name: archive[name] for name in names}
    images = arrays["images"]
    if (
        images.ndim != 4
        or images.shape[2:] != (_SIZE, _SIZE)
        or images.dtype != np.uint8
    ):
        raise ValueError(
            "Invalid array `images` in argument `path`. Expected uint8 of shape "
            f"[classes, drawings, {_SIZE}, {_SIZE}]. Received: {images.dtype} of "
            f"shape {list(images.shape)} in path={path}"
        )
    lengths = {name: len(array) for name, array in arrays.items()}
    if len(set(lengths.values())) > 1:
        raise ValueError(
            "Invalid arrays in argument `path`. Expected one entry per class. "
            f"Received: lengths {lengths} in path={path}"
        )
    for name, known in _SPLITS.items():
        found = set(arrays[name].tolist())
        if not found <= known:
            raise ValueError(
                f"Invalid array `{name}` in argument `path`. Expected names from "
                f"{sorted(known)}. Received: {sorted(found)} in path={path}"
            )
    return arrays


def read_png_folder(path: Path) -> dict[str, np.ndarray]:
    """Reads the authors' folders `images_background` and `images_evaluation`.

    Drawings are files `images_*/ALPHABET/characterNN/NNNN_NN.png`.
    """
    files: dict[tuple[str, ...], bytes] = {}
    for part in _PARTS:
        folder = path / f"images_{part}"
        for file in folder.glob("*/character*/*.png"):
            files[(part, *file.relative_to(folder).parts)] = file.read_bytes()
    return _decode_all(files, path)


def read_zips(paths: dict[str, Path]) -> dict[str, np.ndarray]:
    """Reads the authors' zip files, `{"background": path, "evaluation": path}`."""
    files: dict[tuple[str, ...], bytes] = {}
    for part, path in paths.items():
        with zipfile.ZipFile(path) as archive:
            for name in archive.namelist():
                folder, *parts = PurePosixPath(name).parts
                if folder == f"images_{part}" and name.endswith(".png"):
                    files[(part, *parts)] = archive.read(name)
    return _decode_all(files, paths)


def _decode_all(
    files: dict[tuple[str, ...], bytes], source: object
) -> dict[str, np.ndarray]:
    """Decodes PNG files, keyed and sorted by (part, alphabet, character, file name)."""
    keys = sorted(files)
    characters = Counter(key[:3] for key in keys)
    drawings = set(characters.values())
    if {part for part, _, _ in characters} != set(_PARTS) or len(drawings) != 1:
        raise ValueError(
            "Invalid folder in argument `path`. Expected "
            "images_background/ALPHABET/characterNN/*.png and images_evaluation/..., "
            "with the same number of drawings per character. Received: "
            f"{len(files)} such files in path={source}, with {sorted(drawings)} "
            "drawings per character"
        )
    contents = tf.data.Dataset.from_tensor_slices(
        np.array([files[key] for key in keys], dtype=object)
    )
    pictures = contents.map(_decode, tf.data.AUTOTUNE).batch(drawings.pop())
    try:
        images = [_shrink(255.0 - paper) for paper in pictures.as_numpy_iterator()]
    except tf.errors.InvalidArgumentError as error:
        raise ValueError(
            f"Invalid file in argument `path`. Expected PNG images of {_PNG_SIZE}x"
            f"{_PNG_SIZE} pixels. Received: path={source}"
        ) from error
    return {
        "images": np.stack(images),
        "alphabet": np.array([alphabet for _, alphabet, _ in characters]),
        "split": np.array([part for part, _, _ in characters]),
        "vinyals_split": np.array([_vinyals_split(*key) for key in characters]),
    }


def _decode(content: tf.Tensor) -> tf.Tensor:
    picture = tf.io.decode_png(content, channels=1)
    return tf.ensure_shape(picture, (_PNG_SIZE, _PNG_SIZE, 1))[..., 0]


def _shrink(images: np.ndarray) -> np.ndarray:
    """Resizes `[..., 105, 105]` to uint8 `[..., 28, 28]` by area averaging."""
    step = _PNG_SIZE / _SIZE
    edges = np.arange(_SIZE + 1) * step
    pixels = np.arange(_PNG_SIZE)
    starts = np.maximum(edges[:-1, None], pixels)
    ends = np.minimum(edges[1:, None], pixels + 1)
    weights = np.maximum(ends - starts, 0) / step
    return np.rint(weights @ images @ weights.T).astype("uint8")


def _vinyals_split(part: str, alphabet: str, character: str) -> str:
    if alphabet in _VALIDATION_ALPHABETS:
        return "val"
    is_later = (alphabet, character) > _LAST_FOR_TRAINING
    return "test" if part == "evaluation" and is_later else "train"
