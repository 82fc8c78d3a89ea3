"""The structure of the package matches `ARCHITECTURE.md`: imports, cycles, file sizes.

A component is a row of the table in `ARCHITECTURE.md`: a folder of the package, or a
file next to folders. An entry in the column "may import" allows that folder or file and
all public modules in it; private folders and files must be listed. `__init__.py` files
belong to no component and only re-export names from their own folder.
"""

from __future__ import annotations

import ast
import pathlib
import re
from collections.abc import Iterator
from typing import NamedTuple

import pytest

ROOT = pathlib.Path(__file__).parent.parent
PACKAGE = ROOT / "keras_metaloss"
MAX_LINES = 400
PRIVATE = re.compile(r"\b(keras\.src|tensorflow\.python)\b")
# Methods without side effects.
PURE = {"call", "values", "compute_weights", "memorize", "score", "adapt", "predict"}


class Import(NamedTuple):
    """An import of a module of the package.

    Attributes:
        source: importing file, relative to the package.
        line: line of the import.
        target: imported file.
    """

    source: str
    line: int
    target: str


def read_table(text: str) -> dict[str, list[str]]:
    """Returns the allowed imports of each component, from the table in `text`."""
    rows = re.findall(r"^\| `([^`]+)` \|[^|]*\|([^|]*)\|$", text, re.MULTILINE)
    return {component: re.findall(r"`([^`]+)`", allowed) for component, allowed in rows}


def files(package: pathlib.Path) -> list[str]:
    """Returns the Python files of the package, relative to it."""
    return sorted(str(p.relative_to(package)) for p in package.rglob("*.py"))


def imports(package: pathlib.Path) -> Iterator[Import]:
    """Yields all imports inside the package, also under `TYPE_CHECKING`."""
    known = set(files(package))

    def file_of(parts):
        path = "/".join(parts)
        candidates = (f"{path}.py", f"{path}/__init__.py" if path else "__init__.py")
        return next((name for name in candidates if name in known), None)

    for source in sorted(known):
        for node in ast.walk(ast.parse((package / source).read_text("utf-8"))):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                if node.level:
                    yield Import(source, node.lineno, "." * node.level)
                    continue
                names = [f"{node.module}.{alias.name}" for alias in node.names]
            for name in names:
                first, *parts = name.split(".")
                if first == package.name:
                    # The name of a module, or of an object in one.
                    target = file_of(parts) or file_of(parts[:-1])
                    yield Import(source, node.lineno, target or name)


def is_init(file: str) -> bool:
    return pathlib.PurePath(file).name == "__init__.py"


def component_of(file: str, table: dict[str, list[str]]) -> str | None:
    """Returns the most specific component with a file, `None` if there is none."""
    path = pathlib.PurePath(file)
    covering = [str(p) for p in (path, *path.parents) if str(p) in table]
    return covering[0] if covering else None


def allows(entry: str, file: str) -> bool:
    """Returns whether an entry of "may import" covers a file."""
    if file == entry:
        return True
    path = pathlib.PurePath(file)
    if pathlib.PurePath(entry) not in path.parents:
        return False
    below = path.relative_to(entry).parts
    return is_init(file) or not any(part.startswith("_") for part in below)


def component_errors(package: pathlib.Path, table: dict[str, list[str]]) -> list[str]:
    """Returns components and imports that differ from the table."""
    errors, used = [], set()
    for file in files(package):
        # A file next to folders with rows must have its own row.
        folders = {pathlib.PurePath(component).parent for component in table}
        component = component_of(file, table)
        if is_init(file):
            continue
        needs_row = pathlib.PurePath(file).parent in folders
        if component is None or (needs_row and component != file):
            errors.append(f"{file}: no component of the table")
    for component in table:
        if not (package / component).exists():
            errors.append(f"{component}: no such folder or file")
    for source, line, target in imports(package):
        if is_init(source):
            folder = pathlib.PurePath(source).parent
            if folder not in pathlib.PurePath(target).parents:
                errors.append(f"{source}:{line}: re-exports {target} of another folder")
            continue
        component = component_of(source, table)
        if component is None or component_of(target, table) == component:
            continue
        entries = [entry for entry in table[component] if allows(entry, target)]
        used.update((component, entry) for entry in entries)
        if not entries:
            errors.append(f"{source}:{line}: {component} may not import {target}")
    for component, entries in table.items():
        unused = [entry for entry in entries if (component, entry) not in used]
        errors += [f"{component}: imports nothing from {entry}" for entry in unused]
    return errors


def cycles(arrows: set[tuple[str, str]]) -> list[str]:
    """Returns the nodes on cycles of a graph."""
    arrows = {(a, b) for a, b in arrows if a != b}
    while arrows:
        # A node without incoming or outgoing arrows is on no cycle.
        tails, heads = {a for a, _ in arrows}, {b for _, b in arrows}
        kept = {(a, b) for a, b in arrows if a in heads and b in tails}
        if kept == arrows:
            break
        arrows = kept
    return sorted({node for arrow in arrows for node in arrow})


def cycle_errors(package: pathlib.Path, table: dict[str, list[str]]) -> list[str]:
    """Returns cycles among files, components and top folders."""
    found = list(imports(package))
    levels = {
        "files": {(i.source, i.target) for i in found},
        "components": {
            (
                component_of(i.source, table) or i.source,
                component_of(i.target, table) or i.target,
            )
            for i in found
            if not is_init(i.source)
        },
        "folders": {
            (i.source.split("/")[0], i.target.split("/")[0])
            for i in found
            if i.source != "__init__.py"
        },
    }
    return [
        f"cycle of {level}: {', '.join(nodes)}"
        for level, arrows in levels.items()
        if (nodes := cycles(arrows))
    ]


def init_errors(package: pathlib.Path) -> list[str]:
    """Returns statements of `__init__.py` files that do not re-export names."""
    errors = []
    for file in filter(is_init, files(package)):
        tree = ast.parse((package / file).read_text("utf-8"))
        if ast.get_docstring(tree) is None:
            errors.append(f"{file}: no docstring")
        names, listed = set(), None
        for node in tree.body[1:]:
            if isinstance(node, ast.ImportFrom) and node.module == "__future__":
                continue
            if isinstance(node, ast.ImportFrom):
                names |= {alias.asname or alias.name for alias in node.names}
            elif (
                isinstance(node, ast.Assign) and ast.unparse(node.targets) == "__all__"
            ):
                listed = ast.literal_eval(node.value)
            else:
                errors.append(f"{file}:{node.lineno}: not an import of names")
        public = {n for n in names if not re.match(r"_[^_]", n)}
        if public != set(listed or ()):
            difference = sorted(public ^ set(listed or ()))
            errors.append(f"{file}: `__all__` differs from the imports: {difference}")
    return errors


def file_errors(package: pathlib.Path) -> list[str]:
    """Returns files that are too long, relative imports and private modules."""
    errors = [
        f"{i.source}:{i.line}: relative import"
        for i in imports(package)
        if i.target.startswith(".")
    ]
    for file in files(package):
        text = (package / file).read_text("utf-8")
        lines = len(text.splitlines())
        if lines > MAX_LINES:
            errors.append(f"{file}: {lines} lines, more than {MAX_LINES}")
        if file != "_compat.py" and (found := PRIVATE.search(text)):
            errors.append(f"{file}: {found[0]} outside of _compat.py")
    return errors


def state_errors(package: pathlib.Path) -> list[str]:
    """Returns writes of state in the methods that compute outputs and losses."""
    errors = []
    for file in files(package):
        for function in ast.walk(ast.parse((package / file).read_text("utf-8"))):
            if not isinstance(function, ast.FunctionDef) or function.name not in PURE:
                continue
            for node in ast.walk(function):
                target = getattr(node, "attr", "")
                stored = isinstance(getattr(node, "ctx", None), ast.Store)
                if (target and stored) or target.startswith("assign"):
                    errors.append(f"{file}:{node.lineno}: state in {function.name}")
    return errors


@pytest.fixture(scope="module")
def table():
    return read_table((ROOT / "ARCHITECTURE.md").read_text("utf-8"))


def test_components_and_imports_match_the_table(table):
    assert "losses/_core" in table
    errors = component_errors(PACKAGE, table)
    assert not errors, "\n" + "\n".join(errors)


def test_imports_have_no_cycles(table):
    errors = cycle_errors(PACKAGE, table)
    assert not errors, "\n" + "\n".join(errors)


def test_init_files_only_reexport_names():
    errors = init_errors(PACKAGE)
    assert not errors, "\n" + "\n".join(errors)


def test_files_are_short_and_imports_absolute():
    errors = file_errors(PACKAGE)
    assert not errors, "\n" + "\n".join(errors)


def test_computations_do_not_write_state():
    errors = state_errors(PACKAGE)
    assert not errors, "\n" + "\n".join(errors)


def test_diagram_matches_imports_between_folders():
    text = (ROOT / "ARCHITECTURE.md").read_text("utf-8")
    drawn = set(re.findall(r"^ +(\w+) --> (\w+)$", text, re.MULTILINE))
    arrows = {
        (i.source.split("/")[0], i.target.split("/")[0]) for i in imports(PACKAGE)
    }
    tools = re.compile(r"_|.*\.py$")
    assert drawn == {
        (a, b) for a, b in arrows if a != b and not (tools.match(a) or tools.match(b))
    }


def test_table_is_sorted_by_imports(table):
    # Each component is below all components that it imports.
    order = list(table)
    for source, _, target in imports(PACKAGE):
        components = component_of(source, table), component_of(target, table)
        if not is_init(source) and None not in components:
            importing, imported = map(order.index, components)
            assert imported <= importing, (source, target)


# Tests of the checks themselves.

TABLE = {
    "_tools.py": [],
    "shapes/_core": ["_tools.py"],
    "shapes/round": ["shapes/_core"],
}
TREE = {
    "__init__.py": '"""Shapes."""\nfrom pkg import shapes\n__all__ = ["shapes"]\n',
    "_tools.py": "import math\n",
    "shapes/__init__.py": (
        '"""Shapes."""\n'
        "from pkg.shapes._core.base import Shape\n"
        "from pkg.shapes.round import Circle\n"
        '__all__ = ["Circle", "Shape"]\n'
    ),
    "shapes/_core/__init__.py": '"""Base."""\n',
    "shapes/_core/base.py": "from pkg._tools import area\n",
    "shapes/round/__init__.py": (
        '"""Round shapes."""\n'
        "from __future__ import annotations\n"
        "from pkg.shapes.round.circle import Circle\n"
        '__all__ = ["Circle"]\n'
    ),
    "shapes/round/_arc.py": "import pkg.shapes._core.base\n",
    "shapes/round/circle.py": "from pkg.shapes.round import _arc\n",
}


def all_errors(folder, changes, table=TABLE):
    package = folder / "pkg"
    for name, text in {**TREE, **changes}.items():
        path = package / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    return [
        *component_errors(package, table),
        *cycle_errors(package, table),
        *init_errors(package),
        *file_errors(package),
        *state_errors(package),
    ]


def test_checks_accept_a_tree_that_matches_its_table(tmp_path):
    assert all_errors(tmp_path, {}) == []


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        (
            {"shapes/round/circle.py": "from pkg._tools import area\n"},
            "shapes/round may not import _tools.py",
        ),
        (
            {"shapes/round/circle.py": "import pkg._tools\n"},
            "shapes/round may not import _tools.py",
        ),
        (
            {"shapes/round/circle.py": "def f():\n    from pkg import _tools\n"},
            "circle.py:2: shapes/round may not import _tools.py",
        ),
        (
            {"shapes/round/circle.py": "from pkg import missing\n"},
            "shapes/round may not import __init__.py",
        ),
        ({"_tools.py": "from pkg import shapes\n"}, "cycle of files"),
        (
            {
                "_tools.py": "from typing import TYPE_CHECKING\n"
                "if TYPE_CHECKING:\n    from pkg.shapes._core.base import Shape\n"
            },
            "cycle of components: _tools.py, shapes/_core",
        ),
        (
            {"shapes/round/_arc.py": "from pkg.shapes.round import circle\n"},
            "cycle of files: shapes/round/_arc.py, shapes/round/circle.py",
        ),
        ({"shapes/flat/square.py": ""}, "shapes/flat/square.py: no component"),
        ({"shapes/line.py": ""}, "shapes/line.py: no component"),
        ({"point.py": ""}, "point.py: no component"),
        (
            {"shapes/_core/__init__.py": '"""Base."""\nSIZE = 1\n'},
            "shapes/_core/__init__.py:2: not an import of names",
        ),
        (
            {"shapes/_core/__init__.py": '"""Base."""\nif 1:\n    pass\n'},
            "not an import of names",
        ),
        ({"shapes/_core/__init__.py": ""}, "no docstring"),
        (
            {"shapes/_core/__init__.py": '"""Base."""\n__all__ = ["Shape"]\n'},
            "`__all__` differs from the imports: ['Shape']",
        ),
        (
            {"shapes/_core/__init__.py": '"""B."""\nfrom pkg import _tools\n'},
            "shapes/_core/__init__.py:2: re-exports _tools.py of another folder",
        ),
        ({"shapes/round/circle.py": "from . import _arc\n"}, "relative import"),
        ({"_tools.py": "x = 1\n" * 401}, "_tools.py: 401 lines"),
        ({"_tools.py": "import keras.src.backend\n"}, "keras.src outside of"),
        (
            {"_tools.py": "def call(self, x):\n    self.x = x\n"},
            "_tools.py:2: state in call",
        ),
        (
            {"_tools.py": "def values(self, x):\n    self.x.assign_add(x)\n"},
            "_tools.py:2: state in values",
        ),
    ],
)
def test_checks_find_errors_of_the_tree(tmp_path, changes, error):
    errors = all_errors(tmp_path, changes)
    assert any(error in found for found in errors), errors


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"shapes/flat": []}, "shapes/flat: no such folder or file"),
        ({"_tools.py": ["shapes/_core"]}, "_tools.py: imports nothing from shapes"),
        ({"shapes/_core": []}, "shapes/_core may not import _tools.py"),
        ({"shapes/round": ["shapes"]}, "may not import shapes/_core/base.py"),
    ],
)
def test_checks_find_errors_of_the_table(tmp_path, change, error):
    errors = all_errors(tmp_path, {}, {**TABLE, **change})
    assert any(error in found for found in errors), errors


def test_cycle_of_folders_is_found(tmp_path):
    changes = {
        "a/__init__.py": '"""A."""\n',
        "a/one.py": "import pkg.b.one\n",
        "a/two.py": "",
        "b/__init__.py": '"""B."""\n',
        "b/one.py": "",
        "b/two.py": "import pkg.a.two\n",
    }
    rows = {"a/one.py": ["b/one.py"], "a/two.py": [], "b/one.py": []}
    errors = all_errors(tmp_path, changes, {**TABLE, **rows, "b/two.py": ["a/two.py"]})
    assert errors == ["cycle of folders: a, b"]


def test_table_is_read_from_text():
    text = "| name | contents |\n| --- | --- |\n| `a/_b` | x, `y` | `c`, `d/e.py` |\n"
    assert read_table(text) == {"a/_b": ["c", "d/e.py"]}
    assert read_table("| `a` | x | nothing |\n") == {"a": []}
