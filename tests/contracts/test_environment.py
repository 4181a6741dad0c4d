"""Nothing mutable at module level, and few places that read the environment."""

from __future__ import annotations

import ast

from contracts.house import Module, modules

READERS = {
    "cli/completion.py",  # hands typer the variable by which it speaks
    "cli/main.py",  # `mill`
    "sdk/connection.py",  # `import millwright`
    "workspace/pipelines.py",  # passes all of it on to a child
}
NAMES = {"environ", "environb", "getenv", "getenvb", "putenv", "unsetenv"}
CONTAINERS = {"list", "dict", "set", "deque", "defaultdict", "OrderedDict", "Counter", "bytearray"}


def reads(tree: ast.AST) -> bool:
    """Tell whether code touches the process's environment."""
    for node in ast.walk(tree):
        match node:
            case ast.Attribute(value=ast.Name(id="os" | "posix"), attr=attr) if attr in NAMES:
                return True
            case ast.ImportFrom(module="os", names=names) if {n.name for n in names} & NAMES:
                return True
            case _:
                continue
    return False


def at_import(module: Module) -> list[ast.stmt]:
    """Return the statements that run when the module is imported."""
    kinds = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
    return [node for node in module.tree().body if not isinstance(node, kinds)]


def test_the_environment_is_read_at_the_edge() -> None:
    assert {module.place for module in modules() if reads(module.tree())} == READERS


def test_the_environment_is_not_read_at_import() -> None:
    assert [m.place for m in modules() if any(map(reads, at_import(m)))] == []


def test_a_read_is_found_however_it_is_spelled() -> None:
    for text in (
        "import os\nos.environ['X']",
        "import os\ndef f():\n    return os.getenv('X')",
        "from os import environ",
    ):
        assert reads(ast.parse(text)), text
    assert not reads(ast.parse("import os\nos.getpid()\nself.environ['X']"))


def test_no_function_changes_its_module() -> None:
    changed = [
        f"{module.place}: {', '.join(node.names)}"
        for module in modules()
        for node in ast.walk(module.tree())
        if isinstance(node, ast.Global)
    ]
    assert changed == []


def test_no_module_begins_with_an_empty_container() -> None:
    # One that starts empty is there to be filled. A table typed as a Mapping cannot be.
    found: list[str] = []
    for module in modules():
        for node in at_import(module):
            match node:
                case ast.Assign(value=value):
                    pass
                case ast.AnnAssign(value=value, annotation=kind) if value is not None:
                    if ast.unparse(kind).startswith(("Mapping", "Sequence", "Final[Mapping")):
                        continue
                case _:
                    continue
            if is_empty_container(value):
                found.append(f"{module.place}:{node.lineno}")
    assert found == []


def is_empty_container(value: ast.expr) -> bool:
    """Tell whether an expression makes a container that holds nothing."""
    match value:
        case ast.List(elts=[]) | ast.Set(elts=[]) | ast.Dict(keys=[]):
            return True
        case ast.Call(func=function, args=[], keywords=[]):
            name = ast.unparse(function).partition("[")[0].rpartition(".")[2]
            return name in CONTAINERS
        case ast.Call(func=ast.Name(id="defaultdict")):
            return True
        case _:
            return False
