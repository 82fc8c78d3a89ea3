"""One-shot classification of Lake et al.: 20 new characters of one alphabet.

    python benchmarks/lake_challenge.py --data omniglot.npz

Trains a prototypical network on only the `background` alphabets and writes it to
`saved_models/lake_challenge.keras`; an existing file is loaded instead. Then evaluates
trials as in Lake et al., "Human-level concept learning through probabilistic program
induction", 2015: each run has 20 characters of one evaluation alphabet, with one
training drawing of each by one person and one test drawing of each by another person.
The authors' 20 runs are lists of image files. Here, runs are drawn by the same rule
from the `.npz` file: two runs per alphabet with at least 20 characters.
"""

from __future__ import annotations

import argparse
import os
import pathlib
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np

import keras_metaloss as kml

PUBLISHED = (
    "humans 4.5 %, a good convolutional network about 13 %, Hausdorff distance 38.8 %"
)
RUN_SIZE = 20
STEPS_PER_EPOCH = 250


def answer_trials(
    model: kml.MetaModel, train: np.ndarray, test: np.ndarray
) -> np.ndarray:
    """Classifies the test images of one-shot runs.

    Args:
        model: A `MetaModel` with a metric-based method, trained only on `background`.
        train: Images `[R, 20, 28, 28]` in [0, 1] with ink 1; image `i` shows class `i`.
        test: Images `[R, 20, 28, 28]` in [0, 1] with ink 1, in any order.

    Returns:
        Predicted integer label of each test image, `[R, 20]`.
    """
    runs, count = train.shape[:2]
    episode = {
        "support_x": train[..., np.newaxis].astype("float32"),
        "support_y": np.tile(np.arange(count), (runs, 1)),
        "query_x": test[..., np.newaxis].astype("float32"),
    }
    return model.predict_on_batch(episode).argmax(axis=-1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, help="omniglot.npz")
    parser.add_argument("--model", default="saved_models/lake_challenge.keras")
    parser.add_argument("--steps", type=int, default=3_000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    if arguments.steps < 1 or arguments.steps % STEPS_PER_EPOCH:
        parser.error(f"--steps: expected a multiple of {STEPS_PER_EPOCH}")
    data = np.load(arguments.data)
    images = data["images"].astype(np.float32) / 255.0
    background = data["split"] == "background"
    path = pathlib.Path(arguments.model)
    if path.exists():
        model = keras.models.load_model(path)
    else:
        model = trained(images[background], arguments)
        path.parent.mkdir(parents=True, exist_ok=True)
        model.save(path)
    runs = drawn_runs(images[~background], data["alphabet"][~background])
    answers = answer_trials(model, *runs)
    wrong = answers != np.arange(RUN_SIZE)
    interval = 1.96 * wrong.mean(axis=1).std(ddof=1) / np.sqrt(len(wrong))
    print(
        f"Error in {wrong.size} trials of {len(wrong)} runs: {100 * wrong.mean():.1f} "
        f"+- {100 * interval:.1f} %   (published: {PUBLISHED})"
    )


def trained(images: np.ndarray, arguments: argparse.Namespace) -> kml.MetaModel:
    """Trains a prototypical network on `images` `[characters, 20, 28, 28]`."""
    keras.utils.set_random_seed(arguments.seed)
    labels = np.repeat(np.arange(len(images)), images.shape[1])
    episodes = kml.tasks.EpisodeSampler(
        images.reshape(-1, 28, 28, 1),
        labels,
        ways=60,
        shots=1,
        queries=5,
        seed=arguments.seed,
        rotation_classes=True,
    )
    embedding = kml.learners.conv4((28, 28, 1), downsample="max_pool")
    model = kml.MetaModel(embedding, kml.adaptation.PrototypicalNetwork())
    rate = keras.optimizers.schedules.CosineDecay(2e-3, arguments.steps)
    model.compile(
        optimizer=keras.optimizers.Adam(rate),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    started = time.perf_counter()
    model.fit(
        episodes.dataset(1),
        steps_per_epoch=STEPS_PER_EPOCH,
        epochs=arguments.steps // STEPS_PER_EPOCH,
        verbose=2,
    )
    print(f"Trained in {(time.perf_counter() - started) / 60:.1f} minutes")
    return model


def drawn_runs(
    images: np.ndarray, alphabets: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Draws two runs per alphabet: training and test images `[R, 20, 28, 28]`."""
    rng = np.random.default_rng(0)
    train, test = [], []
    for alphabet in np.unique(alphabets):
        characters = np.flatnonzero(alphabets == alphabet)
        if len(characters) < RUN_SIZE:
            continue
        for _ in range(2):
            chosen = rng.choice(characters, RUN_SIZE, replace=False)
            # Within an alphabet, equal indices are drawings of the same person.
            person, other = rng.choice(images.shape[1], 2, replace=False)
            train.append(images[chosen, person])
            test.append(images[chosen, other])
    return np.stack(train), np.stack(test)


if __name__ == "__main__":
    main()
