"""Code names in the documentation exist in the package, in Keras or in the project."""

from __future__ import annotations

import ast
import functools
import inspect
import pathlib
import re
import tokenize
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_metaloss as kml

ROOT = pathlib.Path(__file__).parent.parent
PACKAGE = ROOT / "keras_metaloss"
PAGES = ["ARCHITECTURE.md", "CHANGELOG.md", "CONTRIBUTING.md", "README.md"]
LIBRARIES = {"keras_metaloss": kml, "kml": kml, "keras": keras, "tf": tf, "np": np}
NAMESPACES = [name for name in kml.__all__ if inspect.ismodule(getattr(kml, name))]

HEADINGS = {"Args", "Example", "Raises", "Reference", "Returns"}

_FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
_SPAN = re.compile(r"`([^`\n]+)`")
_DOTTED = re.compile(r"(?<![\w./])([A-Za-z_]\w*(?:\.[A-Za-z_]\w*)+)")
_PATH = re.compile(r"[\w.-]+(?:/[\w.-]+)*(?:/|\.(?:py|md|cff|cfg|toml|ya?ml))")
# Names of what a reader writes.
_PLACEHOLDER = re.compile(r"(\b|_)my_|<\w+>|FOLDER|\*")


def spans(text: str) -> Iterator[str]:
    """Yields the code between single backticks."""
    yield from _SPAN.findall(_FENCE.sub("", text).replace("``", ""))


def has(value: Any, parts: list[str]) -> bool:
    """Returns whether nested attributes exist, also annotated ones of classes."""
    for index, part in enumerate(parts):
        if not hasattr(value, part):
            attribute = inspect.isclass(value) and is_instance_attribute(value, part)
            return attribute and index == len(parts) - 1
        value = getattr(value, part)
    return True


def is_instance_attribute(cls: type, name: str) -> bool:
    """Returns whether a class documents or sets an attribute of its objects."""
    sources = [base for base in cls.__mro__ if base.__module__.startswith(PACKAGE.name)]
    return any(re.search(rf"\bself\.{name}\b", inspect.getsource(b)) for b in sources)


@functools.cache
def identifiers() -> frozenset[str]:
    """Returns the names in the code of the project and the strings of the package."""
    found = set()
    for folder in ("keras_metaloss", "tests", "examples", "benchmarks"):
        for path in (ROOT / folder).rglob("*.py"):
            with tokenize.open(path) as file:
                tokens = list(tokenize.generate_tokens(file.readline))
                found |= {t.string for t in tokens if t.type == tokenize.NAME}
                if folder == "keras_metaloss":
                    strings = {t.string for t in tokens if t.type == tokenize.STRING}
                    found |= {text.strip("\"'") for text in strings}
                found.add(path.stem)
    found |= set(re.findall(r"[\w-]+", (ROOT / "setup.cfg").read_text("utf-8")))
    return frozenset(found | HEADINGS)


def missing_names(text: str) -> list[str]:
    """Returns the code names in a Markdown page that do not exist."""
    errors = []
    for span in spans(text):
        if _PLACEHOLDER.search(span):
            continue
        if _PATH.fullmatch(span):
            if not exists(span):
                errors.append(span)
            continue
        for name in _DOTTED.findall(span):
            first, *rest = name.split(".")
            if first in LIBRARIES and not has(LIBRARIES[first], rest):
                errors.append(name)
            if first in NAMESPACES and not has(kml, name.split(".")):
                errors.append(name)
        word = re.fullmatch(r"(\w+)(\(.*\))?", span)
        if word and not word[1].isdigit() and word[1] not in identifiers():
            errors.append(span)
    return errors


def exists(path: str) -> bool:
    """Returns whether a file exists in the project or its package."""
    if any((folder / path).exists() for folder in (ROOT, PACKAGE)):
        return True
    return "/" not in path and bool([*ROOT.glob(f"*/{path}"), *PACKAGE.rglob(path)])


def docstrings() -> Iterator[tuple[str, str]]:
    """Yields place and text of each docstring of the package."""
    scopes = (ast.Module, ast.ClassDef, ast.FunctionDef)
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, scopes) and (text := ast.get_docstring(node)):
                name = getattr(node, "name", "module")
                yield f"{path.relative_to(PACKAGE)}:{name}", text


@pytest.mark.parametrize("page", PAGES)
def test_names_in_pages_exist(page):
    assert not missing_names((ROOT / page).read_text("utf-8"))


def test_library_names_in_docstrings_exist():
    errors = [
        f"{place}: {name}"
        for place, text in docstrings()
        for span in re.findall(r"`([^`]+)`", text.replace("``", ""))
        for name in _DOTTED.findall(span)
        if name.split(".")[0] in LIBRARIES
        and not has(LIBRARIES[name.split(".")[0]], name.split(".")[1:])
    ]
    assert not errors


def table_names(heading: str) -> set[str]:
    """Returns the names in the first column of the README's table with a heading."""
    text = (ROOT / "README.md").read_text("utf-8")
    (table,) = re.findall(rf"^\| `{heading}` \|.*\n((?:\|.*\n)+)", text, re.MULTILINE)
    columns = [row.split("|")[1] for row in table.splitlines()]
    return {name for column in columns for name in _SPAN.findall(column)}


def registered(namespace: Any, base: type) -> set[str]:
    """Returns the registered classes of a namespace that are subclasses of `base`."""
    values = {name: getattr(namespace, name) for name in namespace.__all__}
    return {
        name
        for name, value in values.items()
        if inspect.isclass(value)
        and issubclass(value, base)
        and ">" in keras.saving.get_registered_name(value)
    }


def test_readme_lists_every_method():
    methods = registered(kml.adaptation, kml.adaptation.Adaptation)
    assert methods <= table_names("kml.adaptation")


def test_readme_lists_every_loss_and_weighting():
    names = table_names("kml.losses")
    # `NegativeLogLikelihood` and `OneVsRest` adapt other losses.
    others = {"NegativeLogLikelihood", "OneVsRest"}
    assert registered(kml.losses, keras.losses.Loss) - others <= names
    weighting = kml.losses.weighting
    assert registered(weighting, weighting.TaskWeighting) <= names


@pytest.mark.parametrize(
    "text",
    [
        "`kml.losses.NoSuchLoss`",
        "calls `kml.MetaModel.no_such_method(x)`",
        "`keras.losses.NoSuchLoss`",
        "`losses.no_such_loss`",
        "`information.no_such_bound`",
        "`NoSuchClass`",
        "`no_such_function()`",
        "`losses/no_such_file.py`",
        "`no_such_file.py`",
    ],
)
def test_check_finds_names_that_do_not_exist(text):
    assert missing_names(text)


@pytest.mark.parametrize(
    "text",
    [
        "`kml.losses.AdaLoss`, `losses.weighting.PCGrad` and `MetaModel`",
        "`kml.MetaModel(learner, method)`, `context.step`, `MetaLoss.requires`",
        "`losses/_core/traits.py`, `benchmarks/`, `losses/<feature>/my_loss.py`",
        "```python\nno_such_name\n```\n",
        "`L_A + L_B`, `[T, Q, ...]` and `pip install '.[examples]'`",
    ],
)
def test_check_accepts_names_that_exist(text):
    assert not missing_names(text)
