"""Joint segmentation and detection of a character in a cluttered scene.

    python examples/joint_segmentation_detection.py

Scenes of 32x32 pixels show one character with noise and pieces of other characters as
clutter. One network segments the character (task A), the other one predicts its
bounding box (task B). They are trained with `L_A + L_B - beta * I(A;B)` and compared,
over several seeds, with beta = 0 and with separate training. As a control, boxes are
permuted between scenes.

The mutual information is that of two properties of a random cell of a scene: A is
whether the cell belongs to the character, and B is the distance of the cell from the
center of the predicted box, in units of half the box size (less than 1 is inside). If
segmentation and box agree, B predicts A.

The characters are the glyphs of this package. They are rendered locally: nothing is
downloaded.
"""

from __future__ import annotations

import argparse
import functools
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp
from joint_comparison import Problem, compare

import keras_metaloss as kml

SIDE, CELL = 32, 4  # side in pixels of a scene and of a cell of the coarse grid
tfd = tfp.distributions


def scenes(glyphs: np.ndarray, count: int, seed: int):
    """Returns images, character masks and boxes (x, y, width, height, in [0, 1])."""
    random = np.random.default_rng(seed)
    images = np.zeros((count, SIDE, SIDE, 1), "float32")
    masks = np.zeros((count, SIDE, SIDE, 1), "float32")
    boxes = np.zeros((count, 4), "float32")
    for index in range(count):
        scene = images[index, :, :, 0]
        for _ in range(4):  # clutter: strips of other characters
            strip = cut_out(glyphs, random, 12)[:4]
            paste(scene, 0.6 * strip, random)
        glyph = cut_out(glyphs, random, int(random.integers(9, 19)))
        top, left = paste(scene, glyph, random)
        high, wide = glyph.shape
        masks[index, top : top + high, left : left + wide, 0] = glyph > 0.4
        center = left + wide / 2, top + high / 2
        boxes[index] = np.array([*center, wide, high]) / SIDE
        scene += random.normal(0, 0.25, scene.shape)
    return images, (masks, boxes)


def cut_out(glyphs, random, size):
    """Returns a random character, cropped, with a longer side of `size` pixels."""
    glyph = glyphs[random.integers(len(glyphs))][:, :, 0]
    rows, columns = (np.flatnonzero(glyph.max(axis=axis) > 80) for axis in (1, 0))
    glyph = glyph[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    scale = size / max(glyph.shape)
    shape = [max(3, round(length * scale)) for length in glyph.shape]
    picks = [(np.arange(n) * m) // n for n, m in zip(shape, glyph.shape, strict=True)]
    return glyph[np.ix_(*picks)] / 255.0


def paste(scene, patch, random):
    """Pastes a patch at a random position of the scene; returns the position."""
    top = int(random.integers(0, SIDE - patch.shape[0] + 1))
    left = int(random.integers(0, SIDE - patch.shape[1] + 1))
    part = scene[top : top + patch.shape[0], left : left + patch.shape[1]]
    np.maximum(part, patch, out=part)
    return top, left


@keras.saving.register_keras_serializable(package="examples")
def marked(logits: tf.Tensor) -> tfd.Distribution:
    """Distribution of A: whether a 4x4 cell belongs to the character, `[N * 64]`."""
    return tfd.Bernoulli(
        logits=tf.reshape(tf.nn.avg_pool2d(logits, CELL, CELL, "VALID"), [-1])
    )


@keras.saving.register_keras_serializable(package="examples")
def distance(boxes: tf.Tensor) -> tfd.Distribution:
    """Distribution of B: distance of a cell from the center of the box, `[N * 64]`."""
    places = (tf.range(SIDE // CELL, dtype=boxes.dtype) + 0.5) * CELL / SIDE
    half = tf.nn.softplus(20 * boxes[:, 2:]) / 40 + 0.02
    x = tf.abs(places - boxes[:, :1]) / half[:, :1]
    y = tf.abs(places - boxes[:, 1:2]) / half[:, 1:]
    farther = tf.maximum(x[:, tf.newaxis, :], y[:, :, tf.newaxis])
    # The logarithm compresses distances outside the box, which are less informative.
    return tfd.Normal(tf.math.log1p(tf.reshape(farther, [-1])), 0.15)


def networks() -> tuple[keras.Model, keras.Model]:
    """Builds a small encoder-decoder and a small encoder with a box head."""

    def convolution(filters, strides=1):
        return keras.layers.Conv2D(
            filters, 3, strides=strides, padding="same", activation="relu"
        )

    segmenter = keras.Sequential(
        [
            keras.Input((SIDE, SIDE, 1)),
            convolution(16),
            convolution(32, 2),
            convolution(32, 2),
            convolution(32),
            keras.layers.UpSampling2D(4, interpolation="bilinear"),
            convolution(16),
            keras.layers.Conv2D(1, 1),
        ]
    )
    detector = keras.Sequential(
        [
            keras.Input((SIDE, SIDE, 1)),
            convolution(16, 2),
            convolution(32, 2),
            convolution(32, 2),
            keras.layers.Flatten(),
            keras.layers.Dense(64, "relu"),
            keras.layers.Dense(
                4,
                bias_initializer=lambda s, dtype=None: tf.fill(s, tf.cast(0.4, dtype)),
            ),
        ]
    )
    return segmenter, detector


def score(outputs, targets):
    """Computes the intersection over union (IoU) of masks and of boxes."""
    marks, truth = outputs[0] > 0, targets[0] > 0.5
    both, either = (
        f(marks, truth).sum(axis=(1, 2, 3)) for f in (np.minimum, np.maximum)
    )
    low, high = (
        [
            b[:, :2] + sign * np.maximum(b[:, 2:], 0) / 2
            for b in (outputs[1], targets[1])
        ]
        for sign in (-1, 1)
    )
    shared = np.prod(np.maximum(np.minimum(*high) - np.maximum(*low), 0), axis=1)
    areas = sum(np.prod(h - b, axis=1) for b, h in zip(low, high, strict=True))
    return {
        "A mask IoU": np.mean(both / np.maximum(either, 1)),
        "B box IoU": np.mean(shared / (areas - shared)),
    }


def problem(seed: int, glyphs, rows: int) -> Problem:
    splits = zip(glyphs, (rows, rows, 4 * rows), strict=True)
    parts = [scenes(g, n, 3 * seed + i) for i, (g, n) in enumerate(splits)]
    losses = (
        keras.losses.BinaryCrossentropy(from_logits=True),
        Box(),
    )
    return Problem(*parts, networks, losses, {"a": marked, "b": distance}, score)


@keras.saving.register_keras_serializable(package="examples")
class Box(keras.losses.Loss):
    """Negative log-likelihood of a normal error with standard deviation 0.05."""

    def call(self, y_true, y_pred):
        return tf.reduce_mean(tf.square((y_true - y_pred) / 0.05), axis=-1) / 2


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rows", type=int, default=200, help="training scenes")
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--fast", action="store_true", help="a short trial run")
    arguments = parser.parse_args()
    rows = 32 if arguments.fast else arguments.rows
    # The three splits have different scripts, so they share no characters.
    glyphs = [x for x, _ in kml.datasets.glyphs.load_data()]
    print(f"Scenes: {rows} training, {rows} validation, {4 * rows} test")
    compare(
        functools.partial(problem, glyphs=glyphs, rows=rows),
        seeds=1 if arguments.fast else arguments.seeds,
        epochs=1 if arguments.fast else arguments.epochs,
        batch_size=32,
        learning_rate=2e-3,
        betas=(0.0, 1.0) if arguments.fast else (0.0, 0.1, 0.3, 1.0),
    )


if __name__ == "__main__":
    main()
