"""MAML on sine waves: regression from five points, in under a minute.

    python examples/quickstart_sinusoid.py

Writes `saved_models/quickstart_sinusoid.png`, which shows three test tasks: the five
support points, and the predictions before adaptation and after one and five steps.
"""

from __future__ import annotations

import argparse
import os
import pathlib

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import matplotlib
import numpy as np

import keras_metaloss as kml

matplotlib.use("Agg")
import matplotlib.pyplot as plt


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--epochs", type=int, default=8, help="epochs of 500 steps each"
    )
    parser.add_argument("--fast", action="store_true", help="a short trial run")
    parser.add_argument("--out", default="saved_models/quickstart_sinusoid.png")
    arguments = parser.parse_args()
    steps, epochs = (20, 1) if arguments.fast else (500, arguments.epochs)

    keras.utils.set_random_seed(0)
    tasks = kml.tasks.sinusoid(shots=10, queries=10, seed=0)
    model = kml.MetaModel(
        kml.learners.mlp((1,), 1), kml.adaptation.MAML(steps=1, learning_rate=0.01)
    )
    model.compile(optimizer=keras.optimizers.Adam(2e-3), loss="mse", metrics=["mae"])
    print(model.task_execution_report())
    model.fit(tasks.dataset(25), steps_per_epoch=steps, epochs=epochs)

    test_tasks = kml.tasks.sinusoid(shots=5, queries=100, seed=1)
    print("\nMean squared error on 500 test tasks with five support points each:")
    for count in (1, 5):
        tested = with_steps(model.learner, count)
        results = tested.evaluate(
            test_tasks.dataset(50, batches=10), verbose=0, return_dict=True
        )
        print(
            f"  after {count} step{'s' if count > 1 else ' '} "
            f"{results['mse']:.2f} +- {results['mse_ci95']:.2f}"
        )
    draw(model.learner, test_tasks, pathlib.Path(arguments.out))
    print(f"\nPicture: {arguments.out}")


def with_steps(learner: keras.Model, steps: int) -> kml.MetaModel:
    """Returns a compiled `MetaModel` with the given number of inner steps."""
    model = kml.MetaModel(learner, kml.adaptation.MAML(steps, learning_rate=0.01))
    model.compile(loss="mse", metrics=["mse"])
    return model


def draw(
    learner: keras.Model, tasks: kml.tasks.FunctionTasks, path: pathlib.Path
) -> None:
    """Draws three tasks: true function, support points and predictions."""
    episode, _ = tasks.batch(1000, tasks_per_batch=3)
    waves = tasks.parameters(1000, tasks_per_batch=3)
    x = np.linspace(-5.0, 5.0, 200, dtype=np.float32)[:, np.newaxis]
    figure, axes = plt.subplots(1, 3, figsize=(12, 3.6), sharey=True)
    for task, axis in enumerate(axes):
        points = episode["support_x"][task], episode["support_y"][task]
        truth = waves["amplitude"][task] * np.sin(x - waves["phase"][task])
        axis.plot(x, truth, color="0.6", linewidth=3, label="true function")
        before = learner.predict(x, verbose=0)
        axis.plot(x, before, ":", color="C0", label="before adaptation")
        for steps, color in ((1, "C1"), (5, "C3")):
            adapted = with_steps(learner, steps).adapt(*points)
            curve = adapted.predict(x, verbose=0)
            label = f"after {steps} step{'s' if steps > 1 else ''}"
            axis.plot(x, curve, color=color, label=label)
        axis.plot(*points, "k^", markersize=8, label="support points")
        axis.set_title(f"test task {task + 1}")
        axis.set_xlabel("x")
    axes[0].set_ylabel("y")
    lines, labels = axes[0].get_legend_handles_labels()
    figure.legend(lines, labels, loc="lower center", ncols=len(labels))
    figure.tight_layout(rect=(0.0, 0.08, 1.0, 1.0))
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)
    plt.close(figure)


if __name__ == "__main__":
    main()
