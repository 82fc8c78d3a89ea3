"""Examples run with `--fast`, print results and write their files."""

from __future__ import annotations

import few_shot_images
import multi_task
import numpy as np
import pytest
import quickstart_sinusoid
import tensorflow as tf
from PIL import Image


@pytest.mark.slow
def test_quickstart_sinusoid(run_main, tmp_path):
    output = run_main(quickstart_sinusoid)
    assert "after 5 steps" in output
    with Image.open(tmp_path / "saved_models" / "quickstart_sinusoid.png") as picture:
        assert np.asarray(picture).std() > 1


@pytest.mark.slow
def test_multi_task(run_main, tmp_path):
    output = run_main(multi_task)
    for name in ("plain sum", "PCGrad", "separate"):
        assert f"\n{name}" in output
    assert "by more than two standard errors" in output
    with Image.open(tmp_path / "saved_models" / "multi_task.png") as picture:
        assert np.asarray(picture).std() > 1


@pytest.mark.slow
def test_few_shot_images_from_a_folder(run_main, tmp_path):
    random = np.random.default_rng(0)
    for label in range(15):
        folder = tmp_path / "images" / f"class{label:02d}"
        folder.mkdir(parents=True)
        pattern = random.integers(0, 255, (28, 28))
        for number in range(12):
            noisy = np.clip(pattern + random.normal(0, 30, (28, 28)), 0, 255)
            Image.fromarray(noisy.astype("uint8")).save(folder / f"{number}.png")
    output = run_main(
        few_shot_images,
        *("--data", tmp_path / "images", "--ways", 2, "--method", "fomaml"),
    )
    assert "nearest neighbor on pixels" in output
    with Image.open(tmp_path / "saved_models" / "few_shot_images.png") as picture:
        assert np.asarray(picture).std() > 1
    saved = tf.saved_model.load(str(tmp_path / "saved_models" / "few_shot_images"))
    logits = saved.signatures["adapt_and_predict"](
        support_x=tf.zeros([4, 28, 28, 1]),
        support_y=tf.constant([0, 1, 0, 1]),
        query_x=tf.zeros([3, 28, 28, 1]),
    )["output_0"]
    assert logits.shape == (3, 2)
