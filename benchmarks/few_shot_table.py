"""Accuracy of all methods on few-shot problems after a few minutes of training.

    python benchmarks/few_shot_table.py --data DIR --budget 5

DIR contains `omniglot.npz` and `caltech101_64.npz`. Training uses 1-shot episodes.
Metric-based methods are trained once per dataset (Omniglot 20-way, the prototypical
network 60-way as published; Caltech 10-way), other methods once per dataset and number
of ways. The 5-shot tests use the same models. Results in the folder `--cells`, one file
per method, are not measured again. Prints a Markdown table with published results;
`--write` writes it to `benchmarks/RESULTS.md`.
"""

from __future__ import annotations

import argparse
import datetime
import io
import json
import math
import multiprocessing
import os
import pathlib
import platform
import sys
import time
from typing import NamedTuple

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "examples"))

import keras
import numpy as np
import tensorflow as tf
from few_shot_methods import METRIC, RECIPES

import keras_metaloss as kml

HERE = pathlib.Path(__file__).parent
# Heading of the manually written part of `RESULTS.md`, which is preserved.
REMARKS = "\n## Remarks\n"


class Problem(NamedTuple):
    """Dataset, number of ways and number of shots."""

    data: str
    ways: int
    shots: int

    def __str__(self) -> str:
        return f"{self.data} {self.ways}w{self.shots}s"


OMNIGLOT = [Problem("omniglot", w, s) for w, s in ((5, 1), (5, 5), (20, 1), (20, 5))]
CALTECH = [Problem("caltech", 5, 1), Problem("caltech", 5, 5)]
# As published for Omniglot; for larger images as in MAML for mini-ImageNet.
FILTERS = {"omniglot": 64, "caltech": 32}
PROBLEMS = {str(problem): problem for problem in OMNIGLOT + CALTECH}

# Omniglot 5w1s, 5w5s, 20w1s, 20w5s as published, after hours of training.
PUBLISHED = {
    "maml": ("98.7", "99.9", "95.8", "98.9"),
    "fomaml": ("98.3", "99.2", "89.4", "97.9"),
    "anil": ("-", "-", "96.2", "98.0"),
    "meta_sgd": ("99.5", "99.9", "95.9", "99.0"),
    "maml_plus_plus": ("99.5", "99.9", "97.7", "99.3"),
    "reptile": ("95.4", "98.9", "88.1", "96.7"),
    "implicit_maml": ("99.2", "99.7", "94.5", "98.7"),
    "cavia": ("-", "-", "-", "-"),
    "prototypical": ("98.8", "99.7", "96.0", "98.9"),
    "matching": ("98.1", "98.9", "93.8", "98.5"),
    "relation": ("-", "-", "-", "-"),
    "siamese": ("97.3", "98.4", "88.2", "97.0"),
    "meta_opt_net": ("-", "-", "-", "-"),
}

# Protocols of the published results.
PROTOCOL = {
    "maml": "60,000 steps; tested with batch statistics over the queries",
    "fomaml": "Nichol et al.: about 100,000 steps; tested with batch statistics over "
    "the queries",
    "anil": "Raghu et al.",
    "meta_sgd": "60,000 steps, one inner step; 5-shot tests after 1-shot training",
    "maml_plus_plus": "50,000 steps; ensemble of the five best models of a run",
    "reptile": "100,000 to 200,000 steps; 86 to 100 inner steps in tests; not "
    "transductive",
    "implicit_maml": "Rajeswaran et al., with gradient descent",
    "cavia": "no results for Omniglot",
    "prototypical": "60-way episodes with as many shots as in tests; test classes "
    "with rotations",
    "matching": "Vinyals et al., without fine-tuning",
    "relation": "published results are not included",
    "siamese": "as reported in the MAML paper",
    "meta_opt_net": "no results for Omniglot",
}


def main() -> None:
    arguments = parse_arguments()
    arguments.cells.mkdir(parents=True, exist_ok=True)
    # One process per method, because TensorFlow cannot change its number of threads.
    processes = multiprocessing.get_context("spawn")
    for method in arguments.methods:
        process = processes.Process(target=fill_row, args=(method, arguments))
        process.start()
        process.join()
        if process.exitcode:
            raise SystemExit(f"The process of {method} failed")
    table = as_markdown(arguments)
    print(table)
    if arguments.write:
        path = HERE / "RESULTS.md"
        written = path.read_text() if path.exists() else ""
        _, heading, remarks = written.partition(REMARKS)
        path.write_text(table + heading + remarks)


def fill_row(method: str, arguments: argparse.Namespace) -> None:
    """Measures the missing cells of a method."""
    if method not in METRIC:
        # Tasks run in parallel, one core each.
        tf.config.threading.set_intra_op_parallelism_threads(1)
    data = {}
    for group in groups(method, [PROBLEMS[name] for name in arguments.problems]):
        if {str(p) for p in group} <= read_cells(arguments.cells, method).keys():
            continue
        name = group[0].data
        if name not in data:
            data[name] = load(name, pathlib.Path(arguments.data))
        cells = measured(method, group, *data[name], arguments)
        # Another process may have measured other problems in the meantime.
        known = read_cells(arguments.cells, method)
        for problem, cell in zip(group, cells, strict=True):
            known[str(problem)] = cell
            print(f"{method:>16} {problem!s:<16} {cell}", flush=True)
        path = cells_path(arguments.cells, method)
        path.write_text(f"{json.dumps(known, indent=1)}\n")


def read_cells(folder: pathlib.Path, method: str) -> dict[str, dict]:
    """Returns the measured cells of a method by problem."""
    path = cells_path(folder, method)
    return json.loads(path.read_text()) if path.exists() else {}


def cells_path(folder: pathlib.Path, method: str) -> pathlib.Path:
    return folder / f"{method}.json"


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, help="folder of the .npz files")
    parser.add_argument(
        "--budget", type=float, default=5.0, help="minutes per training"
    )
    parser.add_argument("--methods", nargs="+", default=list(RECIPES), choices=RECIPES)
    parser.add_argument("--problems", nargs="+", default=list(PROBLEMS))
    parser.add_argument("--test-episodes", type=int, default=600)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cells", type=pathlib.Path, default=HERE / "few_shot_cells")
    parser.add_argument("--write", action="store_true", help="write RESULTS.md")
    return parser.parse_args()


def groups(method: str, problems: list[Problem]) -> list[list[Problem]]:
    """Groups problems that use the same trained model."""
    found: dict[tuple, list[Problem]] = {}
    for problem in problems:
        ways = None if method in METRIC else problem.ways
        found.setdefault((problem.data, ways), []).append(problem)
    return list(found.values())


def load(name: str, folder: pathlib.Path) -> tuple:
    """Loads training and test sets with images in [0, 1]."""
    if name == "omniglot":
        (x, y), (x_val, y_val), test = kml.datasets.omniglot.load_data(
            folder / "omniglot.npz"
        )
        train = np.concatenate([x, x_val]), np.concatenate([y, y_val + y.max() + 1])
    else:
        train, test = caltech(folder / "caltech101_64.npz")
    return tuple((x.astype(np.float32) / 255.0, y) for x, y in (train, test))


def caltech(path: pathlib.Path) -> list[tuple[np.ndarray, np.ndarray]]:
    """Loads training and test classes of the prepared Caltech 101 dataset."""
    data = np.load(path)
    files, offsets = data["jpeg"].tobytes(), data["offsets"]
    images = np.stack(
        [
            np.asarray(keras.utils.load_img(io.BytesIO(files[start:end])))
            for start, end in zip(offsets[:-1], offsets[1:], strict=True)
        ]
    )
    labels = data["label"].astype(int)
    splits = data["class_split"][labels]
    return [(images[splits == s], labels[splits == s]) for s in ("train", "test")]


def measured(
    method: str,
    group: list[Problem],
    train: tuple[np.ndarray, np.ndarray],
    test: tuple[np.ndarray, np.ndarray],
    arguments: argparse.Namespace,
) -> list[dict]:
    """Trains for the given budget, then tests on each problem of the group."""
    recipe, problem = RECIPES[method], group[0]
    tasks = recipe.tasks
    settings = {"ways": problem.ways, "shots": 1, "queries": 5, **recipe.train}
    if method in METRIC:
        settings["ways"] = 20 if problem.data == "omniglot" else 10
    if method == "prototypical" and problem.data == "omniglot":
        settings["ways"], tasks = 60, 1
    if problem.data == "omniglot":
        settings["rotation_classes"] = True
    episodes = kml.tasks.EpisodeSampler(*train, seed=arguments.seed, **settings)
    shape = train[0].shape[1:]

    def build(rate=None):
        keras.utils.set_random_seed(arguments.seed)
        filters = FILTERS[problem.data]
        return recipe.build(shape, problem.ways, filters=filters, learning_rate=rate)

    seconds = step_seconds(build(), episodes, tasks)
    steps = max(20, math.floor(60 * arguments.budget / seconds))
    rate = keras.optimizers.schedules.CosineDecay(recipe.learning_rate, steps)
    model = build(rate)
    started = time.perf_counter()
    # The phases of MAML++ start at the beginning of an epoch.
    history = model.fit(
        episodes.dataset(tasks), epochs=10, steps_per_epoch=steps // 10, verbose=0
    )
    minutes = (time.perf_counter() - started) / 60
    cells = []
    for tested in group:
        trials = kml.tasks.EpisodeSampler(
            *test, ways=tested.ways, shots=tested.shots, queries=10, seed=1
        )
        batches = arguments.test_episodes // 10
        results = model.evaluate(
            trials.dataset(10, batches=batches), verbose=0, return_dict=True
        )
        cell = {
            "accuracy": 100 * results["accuracy"],
            "interval": 100 * results["accuracy_ci95"],
            "train_accuracy": 100 * history.history["accuracy"][-1],
            "minutes": minutes,
            "cores": cores(),
            "steps": steps // 10 * 10,
            "date": f"{datetime.date.today()}",
            "machine": machine(),
        }
        cells.append(cell)
    return cells


def cores() -> int:
    """Returns the number of CPU cores available to this process."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def machine() -> str:
    """Returns the number of cores and the name of the CPU."""
    path = pathlib.Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    names = [line.split(": ")[1] for line in lines if line.startswith("model name")]
    return f"{os.cpu_count()} cores, {(names or [platform.machine()])[0]}"


def step_seconds(
    model: kml.MetaModel, episodes: kml.tasks.EpisodeSampler, tasks: int
) -> float:
    """Measures the median time of a training step after compilation."""
    times = []
    for batch in episodes.dataset(tasks, batches=8):
        started = time.perf_counter()
        model.train_on_batch(*batch)
        times.append(time.perf_counter() - started)
    return float(np.median(times[2:]))


def as_markdown(arguments: argparse.Namespace) -> str:
    problems = arguments.problems
    rows = {m: read_cells(arguments.cells, m) for m in arguments.methods}

    def distinct(key):
        cells = [row[p] for row in rows.values() for p in problems if p in row]
        return ", ".join(sorted({cell[key] for cell in cells}))

    trials = f"{arguments.test_episodes} test episodes"
    lines = [
        "# Few-shot classification: measured results",
        "",
        f"Generated by `benchmarks/few_shot_table.py`, {distinct('date')}: "
        f"{distinct('machine')}, TensorFlow {tf.__version__}, "
        f"Keras {keras.__version__}, keras_metaloss {kml.__version__}.",
        "",
        "Columns: dataset, ways and shots (5w1s: 5-way 1-shot). Each cell: accuracy in "
        f"% with 95 % confidence interval over {trials} of new classes with 10 queries "
        "per class; training time in minutes x cores; number of outer updates; final "
        "training accuracy; in parentheses the published result, obtained with much "
        "longer training. Omniglot: 1,200 training characters with rotations, 423 test "
        "characters without rotations. Caltech: 60 "
        "training and 14 test classes of the prepared 64x64 dataset, 32 filters "
        "instead of 64. Training uses 1 shot (Reptile: 10), also for the 5-shot tests. "
        "Metric-based methods are trained with 20 ways on Omniglot (the prototypical "
        "network: 60) and 10 ways on Caltech. One seed, one model, not transductive.",
        "",
        "| method | " + " | ".join(problems) + " |",
        "| --- |" + " --- |" * len(problems),
    ]
    for method, row in rows.items():
        texts = [cell_text(row[p], method, p) if p in row else "" for p in problems]
        lines.append(f"| {method} | " + " | ".join(texts) + " |")
    lines += ["", "| method | protocol of the published results |", "| --- | --- |"]
    lines += [f"| {method} | {PROTOCOL[method]} |" for method in arguments.methods]
    return "\n".join(lines) + "\n"


def cell_text(cell: dict, method: str, problem: str) -> str:
    text = (
        f"{cell['accuracy']:.1f} ± {cell['interval']:.1f}, {cell['minutes']:.0f} min x "
        f"{cell['cores']}, {cell['steps']:,}, {cell['train_accuracy']:.0f}"
    )
    if PROBLEMS[problem] in OMNIGLOT:
        text += f" ({PUBLISHED[method][OMNIGLOT.index(PROBLEMS[problem])]})"
    return text


if __name__ == "__main__":
    main()
