"""Few-shot image classification: recognizes new classes from a few examples.

    python examples/few_shot_images.py                       # glyphs, about 4 minutes
    python examples/few_shot_images.py --method prototypical
    python examples/few_shot_images.py --data omniglot --shots 5
    python examples/few_shot_images.py --data my_images      # one subfolder per class

Meta-trains on the training classes and tests on other classes. Prints the test
accuracy, and that of a nearest-neighbor classifier on pixels on the same episodes.
Writes to `saved_models` a picture and a SavedModel, which adapts to new classes without
this package.
"""

from __future__ import annotations

import argparse
import os
import pathlib

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import matplotlib
import numpy as np
import tensorflow as tf
from few_shot_methods import RECIPES

import keras_metaloss as kml

matplotlib.use("Agg")
import matplotlib.pyplot as plt

Split = tuple[np.ndarray, np.ndarray]


def main() -> None:
    arguments = parse_arguments()
    # Running tasks in parallel on one core each is faster than using all cores for one
    # task after the other.
    tf.config.threading.set_intra_op_parallelism_threads(1)
    keras.config.set_dtype_policy(arguments.precision)
    keras.utils.set_random_seed(arguments.seed)
    train, validation, test = load(arguments.data)
    settings = {"ways": arguments.ways, "shots": arguments.shots, "queries": 5}
    recipe = RECIPES[arguments.method]
    episodes = kml.tasks.EpisodeSampler(*train, seed=0, **{**settings, **recipe.train})
    settings["queries"] = 10
    validation_episodes = kml.tasks.EpisodeSampler(*validation, seed=1, **settings)
    test_episodes = kml.tasks.EpisodeSampler(*test, seed=2, **settings)
    print(
        f"Training:   {episodes}\nValidation: {validation_episodes}\n"
        f"Test:       {test_episodes}"
    )

    model = recipe.build(train[0].shape[1:], arguments.ways)
    print(model.task_execution_report())
    model.fit(
        episodes.dataset(recipe.tasks),
        epochs=arguments.epochs,
        steps_per_epoch=arguments.steps_per_epoch,
        validation_data=validation_episodes.dataset(16, batches=3),
    )

    batches = max(1, arguments.test_episodes // 20)
    results = model.evaluate(
        test_episodes.dataset(20, batches=batches), verbose=0, return_dict=True
    )
    baseline = [nearest_neighbor(*test_episodes.batch(i, 20)) for i in range(batches)]
    baseline = np.concatenate(baseline)
    interval = 1.96 * baseline.std(ddof=1) / np.sqrt(len(baseline))
    print(
        f"\n{arguments.ways}-way {arguments.shots}-shot, {20 * batches} episodes of "
        f"{test_episodes.num_classes} test classes:\n"
        f"  {arguments.method:<27}{100 * results['accuracy']:6.2f} +- "
        f"{100 * results['accuracy_ci95']:.2f} %\n"
        f"  nearest neighbor on pixels {100 * baseline.mean():6.2f} +- "
        f"{100 * interval:.2f} %"
    )

    out = pathlib.Path(arguments.out)
    out.mkdir(parents=True, exist_ok=True)
    draw(model, test_episodes, out / "few_shot_images.png")
    model.export(str(out / "few_shot_images"), verbose=False)
    print(
        f"\nPicture:    {out / 'few_shot_images.png'}\n"
        f"SavedModel: {out / 'few_shot_images'} (signature adapt_and_predict)"
    )


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--data",
        default="glyphs",
        help="glyphs, omniglot, an Omniglot .npz file, or a folder of class folders",
    )
    parser.add_argument("--ways", type=int, default=5, help="classes per task")
    parser.add_argument(
        "--shots", type=int, default=1, help="support examples per class"
    )
    parser.add_argument("--method", default="maml", choices=list(RECIPES))
    parser.add_argument(
        "--precision",
        default="float32",
        choices=["float32", "mixed_bfloat16", "mixed_float16"],
        help="dtype policy of the layers; inner loop and losses use float32",
    )
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--steps-per-epoch", type=int, default=100)
    parser.add_argument("--test-episodes", type=int, default=600)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", default="saved_models")
    parser.add_argument("--fast", action="store_true", help="a short trial run")
    arguments = parser.parse_args()
    if arguments.fast:
        arguments.epochs, arguments.steps_per_epoch = 1, 2
        arguments.test_episodes = 20
    return arguments


def load(data: str) -> tuple[Split, Split, Split]:
    """Loads training, validation and test classes with images in [0, 1]."""
    if data == "glyphs":
        splits = kml.datasets.glyphs.load_data()
    elif data == "omniglot":
        splits = kml.datasets.omniglot.load_data()
    elif data.endswith(".npz") or is_omniglot(pathlib.Path(data)):
        splits = kml.datasets.omniglot.load_data(data)
    else:
        splits = image_folder(pathlib.Path(data))
    return tuple((x.astype(np.float32) / 255.0, y) for x, y in splits)


def is_omniglot(path: pathlib.Path) -> bool:
    names = ("omniglot.npz", "images_background", "images_evaluation")
    return any((path / name).exists() for name in names)


def image_folder(path: pathlib.Path, size: int = 28) -> tuple[Split, Split, Split]:
    """Loads one class per subfolder, split 60:20:20 by class."""
    found = {folder: image_files(folder) for folder in sorted(path.glob("[!.]*/"))}
    folders = [folder for folder, files in found.items() if files]
    if not folders:
        raise SystemExit(
            f"--data {path}: expected a folder with one subfolder per class"
        )
    x, y = [], []
    for label, folder in enumerate(folders):
        for file in found[folder]:
            image = keras.utils.load_img(
                file, color_mode="grayscale", target_size=(size, size)
            )
            x.append(keras.utils.img_to_array(image, dtype="uint8"))
            y.append(label)
    x, y = np.stack(x), np.array(y)
    place = np.random.default_rng(0).permutation(len(folders))[y] / len(folders)
    bounds = ((0.0, 0.6), (0.6, 0.8), (0.8, 1.0))
    chosen = [(place >= low) & (place < high) for low, high in bounds]
    return tuple((x[rows], y[rows]) for rows in chosen)


def image_files(folder: pathlib.Path) -> list[pathlib.Path]:
    """Returns the files with extensions that Keras reads."""
    endings = (".bmp", ".gif", ".jpeg", ".jpg", ".png")
    files = sorted(folder.glob("[!.]*"))
    return [file for file in files if file.suffix.lower() in endings]


def nearest_neighbor(episode: dict, query_y: np.ndarray) -> np.ndarray:
    """Computes the accuracy per task of a nearest-neighbor classifier on pixels."""
    support, query = (
        episode[key].reshape(*episode[key].shape[:2], -1)
        for key in ("support_x", "query_x")
    )
    distances = (
        (query**2).sum(-1)[:, :, np.newaxis]
        + (support**2).sum(-1)[:, np.newaxis]
        - 2 * np.einsum("tqd,tsd->tqs", query, support)
    )
    labels = np.take_along_axis(episode["support_y"], distances.argmin(-1), axis=1)
    return (labels == query_y).mean(axis=1)


def draw(
    model: kml.MetaModel, sampler: kml.tasks.EpisodeSampler, path: pathlib.Path
) -> None:
    """Plots one test episode: one row of support images and queries per class."""
    episode, query_y = sampler.batch(10_000, tasks_per_batch=1)
    predicted = model.predict(episode, verbose=0)[0].argmax(-1)
    support_y, query_y = episode["support_y"][0], query_y[0]
    ways = int(support_y.max()) + 1
    shots, shown = min(5, len(support_y) // ways), 6
    figure, axes = plt.subplots(
        ways, shots + shown, figsize=(1.1 * (shots + shown), 1.3 * ways), squeeze=False
    )
    for way in range(ways):
        support = episode["support_x"][0][support_y == way][:shots]
        queries = episode["query_x"][0][query_y == way][:shown]
        answers = predicted[query_y == way][:shown]
        for axis, image in zip(axes[way], [*support, *queries], strict=False):
            axis.imshow(image.squeeze(), cmap="gray_r")
        for axis in axes[way]:
            axis.set_axis_off()
        for axis in axes[way][:shots]:
            axis.set_title(f"class {way + 1}", fontsize=9, color="C0")
        for axis, answer in zip(axes[way][shots:], answers, strict=False):
            right = answer == way
            axis.set_title(
                f"predicted {answer + 1}", fontsize=9, color="C2" if right else "C3"
            )
    figure.suptitle(
        "Support images (blue); predictions of queries (green: correct, red: wrong)",
        fontsize=10,
    )
    figure.tight_layout()
    figure.savefig(path, dpi=120)
    plt.close(figure)


if __name__ == "__main__":
    main()
