"""Code blocks of the README: Python blocks run, and commands are single lines."""

from __future__ import annotations

import pathlib

import pytest

from tests import readme_blocks

README = pathlib.Path(__file__).parent.parent / "README.md"

# Replacements that shorten the training to seconds.
SHORTER = {
    "steps_per_epoch=100, epochs=5": "steps_per_epoch=2, epochs=1",
    "batches=30": "batches=1",
}


@pytest.mark.slow
@pytest.mark.parametrize("number", range(len(readme_blocks.blocks(README, "python"))))
def test_python_block(number, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code = readme_blocks.blocks(README, "python")[number]
    for long, short in SHORTER.items():
        code = code.replace(long, short)
    exec(compile(code, f"README block {number}", "exec"), {})


def test_replacements_match_the_readme():
    code = "".join(readme_blocks.blocks(README, "python"))
    assert all(long in code for long in SHORTER)


def test_each_command_is_a_single_line():
    for block in readme_blocks.blocks(README, "bash"):
        name, *lines = block.strip().splitlines()
        assert len(lines) == 1
        assert readme_blocks.command(README, name.removeprefix("# ")) == lines[0]
