"""The edit matrix: what must change a fingerprint, and what must not."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest

from fixtures.pipelines import import_fresh, write_module
from millwright.core.digest import Digest
from millwright.core.errors import Invalid
from millwright.pipelines.arguments import Argument, Plain, Stored
from millwright.pipelines.fingerprint import Fingerprinter, explain
from millwright.pipelines.step import Step
from millwright.records.pipelines import Fingerprint

FLOW = """\
import functools
from dataclasses import dataclass

import helpers
from helpers import clean_rows
from package import tools as t
from package.star import *
from package import exported
from millwright.pipelines.step import step

LIMIT = 3
TABLE = {"a": 1}
TABLE["b"] = 2
OTHER = 4


def local_helper(x):
    # a comment
    return x + LIMIT


def unrelated(x):
    return x


def decorate(function):
    @functools.wraps(function)
    def inner(*args, **kwargs):
        return function(*args, **kwargs)
    return inner


@dataclass
class Settings:
    depth: int = 3

    def twice(self):
        return self.depth * 2


double = lambda x: x * 2
adder = functools.partial(local_helper, 1)


def make(n):
    @step(name="made")
    def inner(x: int) -> int:
        return x + n
    return inner


made = make(1)


@step
@decorate
def train(rows: list, depth: int = 3) -> int:
    '''Train.'''
    from package.late import imported_late

    def nested(value):
        return starred(value)

    settings = Settings()
    for unrelated in rows:
        pass
    return (
        local_helper(1) + clean_rows(rows) + helpers.scale(2) + t.deep(3) + nested(4)
        + exported() + imported_late() + len(TABLE) + double(2) + settings.twice()
    )


@step
def other(x: int) -> int:
    return x + OTHER


if __name__ == "__main__":
    print("a script's own business")
"""

FILES = {
    "flow": FLOW,
    "helpers": (
        "FACTOR = 2\n\n\ndef clean_rows(rows):\n    return helper_of_helper(rows)\n\n\n"
        "def helper_of_helper(rows):\n    return len(rows)\n\n\n"
        "def scale(x):\n    return x * FACTOR\n\n\ndef unused(x):\n    return x\n"
    ),
    "package.__init__": "from .inner import exported\n",
    "package.inner": "def exported():\n    return 5\n\n\ndef hidden():\n    return 6\n",
    "package.tools": "from . import inner\n\n\ndef deep(x):\n    return x + inner.hidden()\n",
    "package.star": "def starred(x):\n    return x\n\n\ndef unstarred(x):\n    return x\n",
    "package.late": "def imported_late():\n    return 7\n",
}


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    before = list(sys.path)
    for name, text in FILES.items():
        write_module(tmp_path, name, text)
    yield tmp_path
    sys.path[:] = before


def fingerprint(
    root: Path, name: str = "train", arguments: dict[str, Argument] | None = None
) -> Fingerprint:
    module = import_fresh(root, "flow")
    found = cast("Step[..., object]", getattr(module, name))
    return Fingerprinter(root).fingerprint(found, arguments or {})


def edit(root: Path, module: str, old: str, new: str) -> None:
    path = root / f"{module.replace('.', '/')}.py"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


MUST_CHANGE = {
    "the body": ("flow", "local_helper(1)", "local_helper(2)", "function flow.train"),
    "a default value": ("flow", "depth: int = 3) ->", "depth: int = 4) ->", "function flow.train"),
    "a helper in the same file": ("flow", "x + LIMIT", "x - LIMIT", "function flow.local_helper"),
    "a constant read by a helper": ("flow", "LIMIT = 3", "LIMIT = 5", "constant flow.LIMIT"),
    "a constant changed in place": ("flow", '["b"] = 2', '["c"] = 2', "constant flow.TABLE"),
    "a helper in another module": (
        "helpers",
        "return helper_of_helper(rows)",
        "return 1 + helper_of_helper(rows)",
        "function helpers.clean_rows",
    ),
    "a helper's helper": (
        "helpers",
        "return len(rows)",
        "return len(rows) + 1",
        "function helpers.helper_of_helper",
    ),
    "a constant in another module": (
        "helpers",
        "FACTOR = 2",
        "FACTOR = 3",
        "constant helpers.FACTOR",
    ),
    "a function of an imported module": (
        "helpers",
        "x * FACTOR",
        "FACTOR * x",
        "function helpers.scale",
    ),
    "a module renamed on import": (
        "package.tools",
        "x + inner",
        "1 + x + inner",
        "function package.tools.deep",
    ),
    "what a submodule reaches": (
        "package.inner",
        "return 6",
        "return 8",
        "function package.inner.hidden",
    ),
    "a re-export": ("package.inner", "return 5", "return 8", "function package.inner.exported"),
    "a star import": (
        "package.star",
        "def starred(x):\n    return x",
        "def starred(x):\n    return -x",
        "function package.star.starred",
    ),
    "an import inside the function": (
        "package.late",
        "return 7",
        "return 8",
        "function package.late.imported_late",
    ),
    "a decorator": (
        "flow",
        "return function(*args, **kwargs)",
        "return -function(*args, **kwargs)",
        "function flow.decorate",
    ),
    "a class attribute": ("flow", "depth: int = 3\n", "depth: int = 4\n", "class flow.Settings"),
    "a method": ("flow", "self.depth * 2", "self.depth * 3", "class flow.Settings"),
    "a lambda": ("flow", "lambda x: x * 2", "lambda x: x * 4", "constant flow.double"),
}


@pytest.mark.parametrize("what", MUST_CHANGE)
def test_an_edit_changes_it_and_is_named(root: Path, what: str) -> None:
    module, old, new, named = MUST_CHANGE[what]
    before = fingerprint(root)
    edit(root, module, old, new)
    after = fingerprint(root)
    assert after.digest != before.digest
    assert explain(before, after) == [f"{named} changed"]
    edit(root, module, new, old)
    assert fingerprint(root) == before


MUST_NOT_CHANGE = {
    "a comment": ("flow", "# a comment", "# another comment"),
    "a docstring": ("flow", "'''Train.'''", "'''Train the model.'''"),
    "a docstring removed": ("flow", "    '''Train.'''\n", ""),
    "formatting": ("flow", "return x + LIMIT", "return (\n        x\n        + LIMIT\n    )"),
    "blank lines": ("flow", "LIMIT = 3", "\n\n\nLIMIT = 3"),
    "an unrelated helper": (
        "flow",
        "def unrelated(x):\n    return x",
        "def unrelated(x):\n    return 9",
    ),
    "an unrelated helper elsewhere": (
        "helpers",
        "def unused(x):\n    return x",
        "def unused(x):\n    return 9",
    ),
    "an unrelated constant": ("flow", "OTHER = 4", "OTHER = 5"),
    "another step": ("flow", "return x + OTHER", "return x - OTHER"),
    "the rest of a star import": (
        "package.star",
        "def unstarred(x):\n    return x",
        "def unstarred(x):\n    return 9",
    ),
    "what only a script does": ("flow", "a script's own business", "nobody's business"),
    "quotes": ("flow", '{"a": 1}', "{'a': 1}"),
}


@pytest.mark.parametrize("what", MUST_NOT_CHANGE)
def test_an_edit_that_does_not_matter_leaves_it(root: Path, what: str) -> None:
    before = fingerprint(root)
    edit(root, *MUST_NOT_CHANGE[what])
    assert fingerprint(root) == before


def test_a_step_from_a_factory_has_the_values_it_closes_over(root: Path) -> None:
    before = fingerprint(root, "made")
    edit(root, "flow", "made = make(1)", "made = make(2)")
    after = fingerprint(root, "made")
    assert explain(before, after) == ["constant flow.made changed"]
    edit(root, "flow", "return x + n", "return x * n")
    assert explain(after, fingerprint(root, "made")) == ["function flow.make changed"]


def test_a_helper_now_reached_is_named(root: Path) -> None:
    before = fingerprint(root, "other")
    edit(root, "flow", "return x + OTHER", "return local_helper(x)")
    assert explain(before, fingerprint(root, "other")) == [
        "constant flow.LIMIT is now reached",
        "constant flow.OTHER is no longer reached",
        "function flow.local_helper is now reached",
        "function flow.other changed",
    ]


def test_inputs_and_parameters_are_named(root: Path) -> None:
    def of(depth: float, digest: str) -> Fingerprint:
        stored = Stored(kind="table", digest=Digest("b3:" + digest * 64))
        return fingerprint(root, arguments={"depth": Plain(value=depth), "rows": stored})

    assert explain(of(3, "a"), of(4, "b")) == ["parameter depth 3 → 4", "input rows changed"]
    assert of(0.1, "a") != of(0.1 + 1e-17 + 1e-16, "a")
    assert of(1, "a") == of(1, "a")


def test_the_environment_holds_what_is_imported_and_what_that_requires(root: Path) -> None:
    edit(root, "helpers", "return len(rows)", "import sklearn.tree\n    return len(rows)")
    lock = fingerprint(root).parts["environment"].split("; ")
    names = [entry.partition("==")[0] for entry in lock]
    assert names[0] == "python"
    assert {"scikit-learn", "numpy", "scipy", "millwright"} <= set(names)
    assert "litestar" not in names
    assert "scikit-learn" not in fingerprint(root, "other").parts["environment"]


def test_a_new_version_of_a_package_is_named() -> None:
    def of(lock: str) -> Fingerprint:
        return Fingerprint(digest=Digest("b3:x"), parts={"environment": lock})

    old = of("python==3.11; numpy==2.0; polars==1.0")
    new = of("python==3.11; numpy==2.1; scipy==1.0")
    assert explain(old, new) == [
        "environment: numpy 2.0 → 2.1, polars 1.0 → absent, scipy absent → 1.0"
    ]


def test_a_module_handed_about_counts_as_a_whole(root: Path) -> None:
    edit(root, "flow", "return x + OTHER", "return getattr(helpers, 'scale')(x)")
    before = fingerprint(root, "other")
    edit(root, "helpers", "def unused(x):\n    return x", "def unused(x):\n    return 9")
    assert explain(before, fingerprint(root, "other")) == ["function helpers.unused changed"]


def test_a_call_made_on_import_counts(root: Path) -> None:
    edit(root, "flow", "OTHER = 4", "OTHER = 4\nprint('set up')")
    before = fingerprint(root, "other")
    edit(root, "flow", "print('set up')", "print('set up otherwise')")
    assert explain(before, fingerprint(root, "other")) == ["constant flow.<module> changed"]


def test_packages_installed_below_the_project_are_not_its_code(root: Path) -> None:
    write_module(root, ".venv.lib.site-packages.vendored".replace(".venv", "env"), "X = 1\n")
    edit(root, "flow", "return x + OTHER", "import vendored\n    return vendored.X")
    parts = fingerprint(root, "other").parts
    assert [key for key in parts if "vendored" in key] == []


def test_a_step_inside_a_function_is_refused(root: Path) -> None:
    module = import_fresh(root, "flow")
    hidden = cast("Step[..., object]", module.make(5))
    with pytest.raises(Invalid, match="cannot be found in"):
        Fingerprinter(root).fingerprint(hidden, {})
