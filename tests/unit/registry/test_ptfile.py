"""Archives put together by hand; `flavors/test_pytorch.py` has PyTorch make them."""

from __future__ import annotations

import io
import json
import time
import zipfile
from typing import Any

import pytest

from millwright.core.errors import Corrupt, Refused
from millwright.registry.ptfile import GRAPH, SAMPLE, plain_program

SPEC = json.dumps([1, {"type": "builtins.tuple", "context": "null", "children_spec": []}])
SIZE = "Symbol('s0', positive=True, integer=True)"


def node(target: str = "torch.ops.aten.relu.default") -> dict[str, Any]:
    return {"target": target, "name": "relu", "metadata": {"stack_trace": "File x.py\nimport os"}}


def program(**changes: Any) -> dict[str, bytes]:
    """Return the members of a small program, or of one changed in its graph."""
    graph: dict[str, Any] = {
        "graph_module": {
            "graph": {
                "nodes": [node()],
                "tensor_values": {"x": {"sizes": [{"as_expr": {"expr_str": SIZE}}]}},
            },
            "module_call_graph": [{"fqn": "", "signature": {"in_spec": SPEC, "out_spec": SPEC}}],
        },
        "guards_code": ["__import__('os')"],
        "torch_version": "2.13.0+cpu",
        "verifiers": ["TRAINING"],
    }
    weight = {"path_name": "weight_0", "is_param": True, "use_pickle": False}
    weights = json.dumps({"config": {"a.weight": weight}}).encode()
    return {
        GRAPH: json.dumps(graph | changes).encode(),
        SAMPLE: b"a pickle",
        "data/weights/weight_0": b"\0\0\0\0",
        "data/weights/model_weights_config.json": weights,
        "data/constants/model_constants_config.json": b'{"config": {}}',
        "archive_format": b"pt2",
        "archive_version": b"0",
        "byteorder": b"little",
        ".data/version": b"6\n",
        ".data/serialization_id": b"1234",
    }


def archive(members: dict[str, bytes], root: str = "archive") -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as file:
        for name, content in members.items():
            file.writestr(f"{root}/{name}" if root else name, content)
    return out.getvalue()


def read(data: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(data)) as file:
        return {name.partition("/")[2]: file.read(name) for name in file.namelist()}


def test_what_a_program_needs_is_kept_and_nothing_else() -> None:
    kept = read(plain_program(archive(program() | {"extra/x.py": b"code"})))
    assert sorted(kept) == sorted(set(program()) - {".data/serialization_id"})
    assert kept["data/weights/weight_0"] == b"\0\0\0\0"
    assert kept[SAMPLE] == b""
    graph = json.loads(kept[GRAPH])
    assert graph["guards_code"] == []
    assert graph["graph_module"]["graph"]["nodes"][0]["metadata"] == {}
    assert b"stack_trace" not in kept[GRAPH]


def test_the_same_program_has_the_same_bytes_wherever_it_was_written() -> None:
    once = plain_program(archive(program()))
    again = plain_program(archive(dict(reversed(program().items())), root="other"))
    assert once == again == plain_program(once + b"")
    assert read(plain_program(archive(program()), keep_sample=True))[SAMPLE] == b"a pickle"


def graph_with(**changes: Any) -> dict[str, bytes]:
    return program(graph_module={"graph": changes})


@pytest.mark.parametrize(
    ("members", "why"),
    [
        (graph_with(nodes=[node("torch.hub.load")]), "calls torch.hub.load"),
        (graph_with(nodes=[node("torch.ops.aten.from_file.default")]), "calls torch.ops.aten.from"),
        (graph_with(nodes=[node("torch.ops.aten.relu.default()")]), "calls"),
        (graph_with(x={"expr_str": "__import__('os').system('x')"}), "a size of"),
        (graph_with(x={"expr_str": "s0.__class__"}), "a size of"),
        (graph_with(x={"expr_str": "Symbol('s0'), x=True)"}), "a size of"),
        (graph_with(inputs=[{"name": "x=__import__('os')"}]), "as name"),
        (graph_with(inputs=[{"name": "0x"}]), "'0x' as name"),
        (graph_with(**{"a b": 1}), "cannot be a name"),
        (graph_with(in_spec='[1, {"type": "os.system"}]'), "takes or gives a os.system"),
        (
            graph_with(in_spec='[1, {"type": "builtins.dict", "context": "f(x)"}]'),
            "names inputs 'f(x)'",
        ),
        (program(torch_version="2; import os"), "no release"),
        (program() | {"data/aotinductor/model/x.so": b""}, "compiled library"),
    ],
)
def test_what_could_run_code_is_refused(members: dict[str, bytes], why: str) -> None:
    with pytest.raises(Refused) as caught:
        plain_program(archive(members))
    assert why in caught.value.why


@pytest.mark.parametrize(
    ("entry", "why"),
    [
        ({"path_name": "weight_0", "use_pickle": True}, "as a pickle"),
        ({"path_name": "opaque_0", "use_pickle": False}, "as an object"),
        ({"path_name": "../weight_0", "use_pickle": False}, "as an object"),
    ],
)
def test_weights_that_are_no_raw_numbers_are_refused(entry: dict[str, Any], why: str) -> None:
    config = json.dumps({"config": {"a": entry}}).encode()
    members = program() | {"data/weights/model_weights_config.json": config}
    with pytest.raises(Refused) as caught:
        plain_program(archive(members))
    assert why in caught.value.why


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"pickle",
        archive({}),
        archive(program() | {"byteorder": b"big"}),
        archive(program() | {GRAPH: b"{"}),
        archive(program() | {GRAPH: b"[]"}),
        archive(program() | {".data/version": b"x"}),
        archive(program(), root="") + b"",
        archive(program())[:-40],
        archive({name: data for name, data in program().items() if name != GRAPH}),
        archive(program() | {GRAPH: b'{"a":' * 80 + b"1" + b"}" * 80}),
    ],
)
def test_what_is_no_program_is_corrupt(data: bytes) -> None:
    with pytest.raises(Corrupt, match="not a whole exported program"):
        plain_program(data)


def test_two_members_of_one_name_are_refused() -> None:
    out = io.BytesIO(archive(program()))
    with zipfile.ZipFile(out, "a") as file, pytest.warns(UserWarning, match="Duplicate name"):
        file.writestr(f"archive/{GRAPH}", b"{}")
    with pytest.raises(Refused, match="two members of one name"):
        plain_program(out.getvalue())


def test_a_long_size_costs_no_more_than_its_length() -> None:
    began = time.perf_counter()
    with pytest.raises(Refused):
        plain_program(archive(graph_with(x={"expr_str": "s1" * 50_000 + "!"})))
    assert time.perf_counter() - began < 5
