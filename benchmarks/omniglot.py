"""MAML on Omniglot with the protocol of the MAML paper, and published results.

    python benchmarks/omniglot.py --data omniglot.npz                # a short run
    python benchmarks/omniglot.py --data omniglot.npz --full         # 60,000 steps

The following settings are those of the paper (arXiv 1703.03400, appendix A.1): network,
split (1,200 training characters, 423 test characters), rotations as additional classes,
inner and outer learning rates, tasks per batch, and batch normalization over all
queries of a task (transductive). The number of test queries per class equals the number
of shots, as in the authors' code (github.com/cbfinn/maml, main.py). Batch statistics of
one query per class reveal more about the labels than those of many queries, so results
with more queries are printed too.

A full run also trains with as many queries as shots. A short run trains with ten
queries per class, which makes each step more effective, and with a cosine decay of the
outer learning rate to zero; with `--first-order-steps`, its first updates use
first-order gradients, which are faster. Running the command again resumes an
interrupted training.
"""

from __future__ import annotations

import argparse
import json
import os
import pathlib
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np
import tensorflow as tf

import keras_metaloss as kml

# Accuracy in table 1 of the paper.
PUBLISHED = {
    (5, 1): "98.7 +- 0.4",
    (5, 5): "99.9 +- 0.1",
    (20, 1): "95.8 +- 0.3",
    (20, 5): "98.9 +- 0.2",
}
# Inner steps, inner learning rate, evaluation steps, tasks per batch.
PROTOCOL = {5: (1, 0.4, 3, 32), 20: (5, 0.1, 5, 16)}
STEPS_PER_EPOCH = 200
FULL_STEPS = 60_000
SHORT_RUN_QUERIES = 10


def main() -> None:
    arguments = parse_arguments()
    # Running tasks in parallel on one core each is faster than using all cores for one
    # task after the other.
    tf.config.threading.set_intra_op_parallelism_threads(1)
    train, test = samplers(arguments)
    folder = run_folder(arguments)
    folder.mkdir(parents=True, exist_ok=True)
    model, progress = restored(arguments, folder)
    epochs = arguments.steps // STEPS_PER_EPOCH
    tasks = PROTOCOL[arguments.ways][3]
    for epoch in range(progress["epochs"], epochs):
        started = time.perf_counter()
        first_order = (epoch + 1) * STEPS_PER_EPOCH <= arguments.first_order_steps
        model = with_order(model, first_order)
        data = train.dataset(tasks, first_batch=epoch * STEPS_PER_EPOCH)
        history = model.fit(data, steps_per_epoch=STEPS_PER_EPOCH, verbose=0)
        progress["seconds"] += time.perf_counter() - started
        progress["epochs"] = epoch + 1
        save(model, progress, folder)
        print(
            f"step {(epoch + 1) * STEPS_PER_EPOCH}/{epochs * STEPS_PER_EPOCH}  "
            f"minutes {progress['seconds'] / 60:.1f}  "
            f"loss {history.history['loss'][0]:.4f}  "
            f"accuracy {history.history['accuracy'][0]:.4f}",
            flush=True,
        )
    report(arguments, model, test, progress)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", help="omniglot.npz or PNG folder; default: download")
    parser.add_argument("--ways", type=int, default=5, choices=sorted(PROTOCOL))
    parser.add_argument("--shots", type=int, default=1)
    parser.add_argument(
        "--train-queries",
        type=int,
        help="queries per class; default: 10, or the number of shots with --full",
    )
    parser.add_argument("--steps", type=int, default=3_200, help="outer updates")
    parser.add_argument("--first-order-steps", type=int, default=0)
    parser.add_argument("--full", action="store_true", help=f"{FULL_STEPS} steps")
    parser.add_argument("--test-episodes", type=int, default=2_000)
    parser.add_argument("--normalization", default="batch")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--run-dir",
        default="saved_models/benchmark_omniglot",
        help="parent folder; each set of arguments resumes from its own subfolder",
    )
    arguments = parser.parse_args()
    if arguments.steps < 1 or arguments.steps % STEPS_PER_EPOCH:
        parser.error(f"--steps: expected a multiple of {STEPS_PER_EPOCH}")
    if arguments.first_order_steps % STEPS_PER_EPOCH:
        parser.error(f"--first-order-steps: expected a multiple of {STEPS_PER_EPOCH}")
    queries = SHORT_RUN_QUERIES
    if arguments.full:
        queries = arguments.shots
        arguments.steps, arguments.first_order_steps = FULL_STEPS, 0
    arguments.train_queries = arguments.train_queries or queries
    return arguments


def run_folder(arguments: argparse.Namespace) -> pathlib.Path:
    """Returns the folder of the checkpoints of a run with these settings."""
    name = (
        f"{arguments.ways}w{arguments.shots}s_{arguments.train_queries}queries_"
        f"{arguments.steps}steps_{arguments.first_order_steps}first_order_"
        f"{arguments.normalization}_seed{arguments.seed}"
    )
    return pathlib.Path(arguments.run_dir) / name


def samplers(
    arguments: argparse.Namespace,
) -> tuple[kml.tasks.EpisodeSampler, dict[int, kml.tasks.EpisodeSampler]]:
    """Returns training episodes, and test episodes by the number of queries."""
    (x, y), (x_val, y_val), (x_test, y_test) = kml.datasets.omniglot.load_data(
        arguments.data
    )
    x = np.concatenate([x, x_val]).astype(np.float32) / 255.0
    y = np.concatenate([y, y_val + y.max() + 1])
    settings = {"ways": arguments.ways, "shots": arguments.shots}
    train = kml.tasks.EpisodeSampler(
        x,
        y,
        queries=arguments.train_queries,
        seed=arguments.seed,
        rotation_classes=True,
        **settings,
    )
    x_test = x_test.astype(np.float32) / 255.0
    test = {
        queries: kml.tasks.EpisodeSampler(
            x_test, y_test, queries=queries, seed=1, **settings
        )
        for queries in sorted({arguments.shots, 15})
    }
    return train, test


def restored(
    arguments: argparse.Namespace, folder: pathlib.Path
) -> tuple[kml.MetaModel, dict]:
    """Restores model and progress from `folder`, or creates them."""
    if (folder / "progress.json").exists():
        progress = json.loads((folder / "progress.json").read_text())
        return keras.models.load_model(folder / progress["model"]), progress
    keras.utils.set_random_seed(arguments.seed)
    steps, rate, evaluation_steps, _ = PROTOCOL[arguments.ways]
    model = kml.MetaModel(
        kml.learners.conv4((28, 28, 1), arguments.ways),
        kml.adaptation.MAML(
            steps,
            rate,
            evaluation_steps=evaluation_steps,
            normalization=arguments.normalization,
        ),
    )
    schedule = 1e-3
    if not arguments.full:
        schedule = keras.optimizers.schedules.CosineDecay(1e-3, arguments.steps)
    compile_with(model, keras.optimizers.Adam(schedule))
    return model, {"epochs": 0, "seconds": 0.0}


def compile_with(model: kml.MetaModel, optimizer: keras.optimizers.Optimizer) -> None:
    model.compile(
        optimizer=optimizer,
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )


def with_order(model: kml.MetaModel, first_order: bool) -> kml.MetaModel:
    """Returns a model with the same learner, optimizer and order of derivatives."""
    if model.adaptation.first_order == first_order:
        return model
    config = {**model.adaptation.get_config(), "first_order": first_order}
    changed = kml.MetaModel(model.learner, kml.adaptation.MAML.from_config(config))
    compile_with(changed, model.optimizer)
    return changed


def save(model: kml.MetaModel, progress: dict, folder: pathlib.Path) -> None:
    """Writes the model, then its name: an interruption loses at most one epoch."""
    progress["model"] = f"epoch_{progress['epochs'] % 2}.keras"
    model.save(folder / progress["model"])
    (folder / "progress.tmp").write_text(json.dumps(progress))
    os.replace(folder / "progress.tmp", folder / "progress.json")


def report(
    arguments: argparse.Namespace,
    model: kml.MetaModel,
    test: dict[int, kml.tasks.EpisodeSampler],
    progress: dict,
) -> None:
    published = PUBLISHED.get((arguments.ways, arguments.shots), "-")
    print(
        f"\nOmniglot {arguments.ways}-way {arguments.shots}-shot, MAML, "
        f"{progress['epochs'] * STEPS_PER_EPOCH} steps "
        f"({arguments.first_order_steps} of them first-order) in "
        f"{progress['seconds'] / 60:.1f} minutes, normalization="
        f"{arguments.normalization!r}; MAML paper, 60,000 steps: {published} %"
    )
    batches = max(1, arguments.test_episodes // 20)
    for queries, sampler in test.items():
        results = model.evaluate(
            sampler.dataset(20, batches=batches), verbose=0, return_dict=True
        )
        print(
            f"Accuracy over {20 * batches} test episodes, {queries} queries per class: "
            f"{100 * results['accuracy']:.2f} +- {100 * results['accuracy_ci95']:.2f} %"
        )


if __name__ == "__main__":
    main()
