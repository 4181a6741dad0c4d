"""The rooms and their contracts: that each is what it says, and that import-linter sees it all."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from contracts.house import ROOT, Contract, contracts, functions, modules, rooms

MAX_LINES = 400
# What is longer today, and how long it may be; whoever shortens one takes it out.
LONGER = {
    "deployments/controller.py": 450,
    "metadata/tables/deployments.py": 450,
    "testing/executors.py": 430,
}


def matches(pattern: str, name: str) -> bool:
    """Tell whether a pattern of import-linter means that module; `*` stands for one part."""
    return re.fullmatch(re.escape(pattern).replace(r"\*", r"[^.]+"), name) is not None


def layers() -> list[str]:
    """Return the rooms of the layer list, those that do not exist yet in parentheses."""
    floors = next(contract for contract in contracts() if contract.type == "layers").layers
    return [room.strip() for floor in floors for room in floor.split("|")]


def test_every_room_is_empty_at_its_door() -> None:
    doors = [module for module in modules() if module.path.name == "__init__.py"]
    assert len(doors) > len(rooms())
    assert [door.place for door in doors if door.text] == ["__init__.py"]


def test_every_folder_of_code_is_a_room() -> None:
    homeless = {
        module.place for module in modules() if not (module.path.parent / "__init__.py").is_file()
    }
    assert homeless == set()


def test_the_layers_name_every_room_once() -> None:
    listed = Counter(room.strip("()") for room in layers())
    assert [room for room, times in listed.items() if times > 1] == []
    standing = {room for room in layers() if not room.startswith("(")}
    assert standing == rooms() | {"__main__"}


def test_a_room_in_parentheses_does_not_exist_yet() -> None:
    awaited = {room.strip("()") for room in layers() if room.startswith("(")}
    assert awaited & rooms() == set()


@pytest.mark.parametrize("contract", contracts(), ids=lambda contract: contract.name)
def test_every_pattern_of_a_contract_matches_a_module(contract: Contract) -> None:
    names = [module.name for module in modules()]
    for pattern in contract.patterns():
        assert any(matches(pattern, name) for name in names), pattern


def test_no_contract_looks_away() -> None:
    assert {contract.name for contract in contracts() if contract.ignore_imports} == set()
    assert all(contract.exhaustive for contract in contracts() if contract.type == "layers")


def test_every_folder_of_peers_is_under_both_contracts_on_peers() -> None:
    # The plural holds those who fill the port of the singular: `flavor.py` and `flavors/`.
    names = {module.name for module in modules()}
    folders = {module.name for module in modules() if module.path.name == "__init__.py"}
    peers = {f"{name}s.*" for name in names if f"{name}s" in folders}
    assert len(peers) >= 5
    by_type = {contract.type: contract for contract in contracts()}
    assert peers <= set(by_type["independence"].modules)
    assert peers <= set(by_type["protected"].protected_modules)


def test_imports_fall() -> None:
    lint = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run(
        [lint, "--no-cache", "--no-logo"], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(contracts())} kept, 0 broken" in done.stdout


def test_every_module_does_something() -> None:
    idle = [
        module.place
        for module in modules()
        if module.path.name != "__init__.py" and not any(map(is_behaviour, module.tree().body))
    ]
    assert idle == []


def is_behaviour(statement: ast.stmt) -> bool:
    """Tell whether a statement is more than an import or a docstring."""
    match statement:
        case ast.Import() | ast.ImportFrom() | ast.Expr(value=ast.Constant()):
            return False
        case ast.If(test=ast.Name(id="TYPE_CHECKING")):
            return False
        case _:
            return True


def test_nothing_is_left_to_be_done() -> None:
    words = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b")
    assert [module.place for module in modules() if words.search(module.text)] == []


def test_a_function_without_a_body_belongs_to_a_protocol() -> None:
    stubs: list[str] = []
    for module in modules():
        tree = module.tree()
        ports = [
            node
            for node in ast.walk(tree)
            if isinstance(node, ast.ClassDef)
            and any("Protocol" in ast.unparse(base) for base in node.bases)
        ]
        promised = {function for port in ports for function in functions(port)}
        stubs += [
            f"{module.place}: {function.name}"
            for function in functions(tree)
            if function not in promised and is_stub(function)
        ]
    assert stubs == []


def is_stub(function: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """Tell whether a function promises and does nothing; `pass` says that nothing is right."""
    if any("overload" in ast.unparse(decorator) for decorator in function.decorator_list):
        return False
    return ast.unparse(function.body[-1]) == "..."


def test_no_module_is_two() -> None:
    lengths = {module.place: module.text.count("\n") for module in modules()}
    too_long = {
        place: lines for place, lines in lengths.items() if lines > LONGER.get(place, MAX_LINES)
    }
    assert too_long == {}, "look for the second subject hiding inside"
    assert {place for place in LONGER if lengths.get(place, 0) <= MAX_LINES} == set()
