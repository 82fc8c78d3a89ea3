"""The package's type annotations accept a typed user program under `mypy --strict`."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys

import pytest

HERE = pathlib.Path(__file__).parent
ROOT = HERE.parent.parent


def strict_errors(path, cache):
    # As for an installed package: only errors in the program itself are reported, and
    # libraries without type annotations are accepted.
    options = ["--strict", "--ignore-missing-imports", "--follow-imports=silent"]
    command = [sys.executable, "-m", "mypy", "--config-file=", f"--cache-dir={cache}"]
    result = subprocess.run(
        [*command, *options, str(path)],
        cwd=cache,
        env={**os.environ, "MYPYPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert not result.stderr, result.stderr
    return [line for line in result.stdout.splitlines() if ": error: " in line]


@pytest.mark.slow
def test_strict_type_check_accepts_a_user_program(tmp_path):
    assert strict_errors(HERE / "user_program.py", tmp_path) == []


@pytest.mark.slow
def test_strict_type_check_finds_errors_of_the_user(tmp_path):
    program = tmp_path / "wrong.py"
    program.write_text(
        "import keras_metaloss as kml\n"
        "kml.adaptation.MAML(steps='one')\n"
        "kml.losses.TaskLossDeviation()\n"
        "report: int = kml.MetaModel.task_execution_report\n"
    )
    errors = strict_errors(program, tmp_path)
    codes = [error.rsplit("[", 1)[1].rstrip("]") for error in errors]
    assert codes == ["arg-type", "attr-defined", "assignment"]


@pytest.mark.slow
def test_user_program_runs():
    subprocess.run([sys.executable, str(HERE / "user_program.py")], check=True)
