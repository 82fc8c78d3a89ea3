"""Facts in several project files are consistent."""

from __future__ import annotations

import configparser
import pathlib
import re

import keras_metaloss as kml

ROOT = pathlib.Path(__file__).parent.parent


def read(name):
    return (ROOT / name).read_text("utf-8")


def setup():
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg", encoding="utf-8")
    return config


def test_citation_has_the_version_and_license_of_the_package():
    fields = dict(re.findall(r"^([\w-]+): (.+)$", read("CITATION.cff"), re.MULTILINE))
    assert fields["version"] == kml.__version__
    assert fields["license"] == setup()["metadata"]["license"]


def test_changelog_has_an_entry_for_the_version():
    assert f"## [{kml.__version__}]" in read("CHANGELOG.md")


def test_workflow_runs_every_supported_python():
    versions = re.findall(r"Python :: (3\.\d+)", setup()["metadata"]["classifiers"])
    (matrix,) = re.findall(
        r"python-version: \[(.+)\]", read(".github/workflows/ci.yml")
    )
    assert re.findall(r'"(.+?)"', matrix) == versions
    assert setup()["options"]["python_requires"] == f">={versions[0]}"


def test_lint_tools_are_pinned():
    pins = setup()["options.extras_require"]["lint"].split()
    assert all(re.fullmatch(r"[\w-]+==[\d.]+", pin) for pin in pins)
