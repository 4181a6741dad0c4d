"""PyTorch's exported programs (`.pt2`), rebuilt from their plain parts before they are loaded.

`torch.export.load` trusts its file: it unpickles sample inputs and whatever weights say they
are pickles, evaluates the text of symbolic sizes and of guards, looks up any attribute of
`torch` as an operation, and puts names from the file into Python source that it runs. So no
file reaches it as it is. What a program needs is copied into a new archive: the graph, with
every text in it held against what may stand there, and weights that are raw numbers. Left out
are sample inputs, guards, and what it remembers of the machine that made it (source lines with
their paths), so that the same module also gives the same bytes.
"""

from __future__ import annotations

import io
import json
import re
import zipfile
from collections.abc import Iterator, Mapping
from typing import TypeAlias, cast

from millwright.core.errors import Corrupt, Refused

Json: TypeAlias = "str | int | float | bool | None | list[Json] | dict[str, Json]"

GRAPH = "models/model.json"
SAMPLE = "data/sample_inputs/model.pt"
_ROOT = "archive"
_CONFIGS = {
    "data/weights/model_weights_config.json": re.compile(r"weight_\d+"),
    "data/constants/model_constants_config.json": re.compile(r"tensor_\d+"),
}
_PLAIN = {"archive_format": b"pt2", "archive_version": b"0", "byteorder": b"little"}
_VERSION = ".data/version"
_EPOCH = (1980, 1, 1, 0, 0, 0)

# Names of values come into the program's code; those of weights (`0.weight`) do not.
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z0-9_]+)*")
_PATH = re.compile(r"[A-Za-z0-9_]+(\.[A-Za-z0-9_]+)*")
_TARGET = re.compile(
    r"torch\.ops\.(aten|prims)\.[A-Za-z0-9_]+\.[A-Za-z0-9_]+"
    r"|_operator\.(add|sub|mul|floordiv|mod|truediv|neg|pow|getitem|eq|ne|lt|le|gt|ge|and_|or_)"
    r"|math\.(ceil|floor|trunc|sqrt)"
    r"|torch\.sym_(float|int|max|min|ite|not|sqrt|sum)"
)
# The one operation of the plain ones that opens a file.
_FILES = re.compile(r"torch\.ops\.aten\.from_file\b")
# Sizes as sympy writes them: symbols (s0, u1), whole numbers, and arithmetic between them. No
# part of the pattern can match a text in two ways, so that a long one costs no more.
_SIZE = re.compile(
    r"(Symbol\('[su]\d{1,9}'(, [a-z_]{1,20}=(True|False)){0,8}\)"
    r"|Integer|Rational|Add|Mul|Pow|Mod|PythonMod|FloorDiv|CeilDiv|IntTrueDiv|Max|Min"
    r"|oo|int_oo|[su](?=\d)|[-+*/%(), \d])*"
)
_KINDS = frozenset({None, "builtins.tuple", "builtins.list", "builtins.dict"})
_RELEASE = re.compile(r"[\w.+-]{0,64}")
_MAX_DEPTH = 64


def plain_program(data: bytes, *, keep_sample: bool = False) -> bytes:
    """Return the archive rebuilt from its plain parts, in its one spelling.

    `keep_sample` keeps the sample inputs, which are a pickle: for an archive just made here.
    Raises Corrupt when it is no whole archive, and Refused for what could run code.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            records = _records(archive)
            return _rebuilt(records, keep_sample=keep_sample)
    except (zipfile.BadZipFile, KeyError, ValueError, TypeError, AttributeError) as error:
        raise _no_program(f"{type(error).__name__}: {error}"[:200]) from error
    except (NotImplementedError, RecursionError) as error:
        raise _no_program(str(error)[:200]) from error


def _records(archive: zipfile.ZipFile) -> dict[str, bytes]:
    """Return the archive's members by their names below its root."""
    names = archive.namelist()
    if len(set(names)) != len(names):
        raise Refused("the exported program holds two members of one name")
    roots = {name.partition("/")[0] for name in names}
    if len(roots) != 1:
        raise ValueError(f"its members lie below {len(roots)} folders, not below one")
    return {name.partition("/")[2]: archive.read(name) for name in names}


def _rebuilt(records: Mapping[str, bytes], *, keep_sample: bool) -> bytes:
    for name, expected in _PLAIN.items():
        if records[name].strip() != expected:
            raise ValueError(f"{name} is {records[name][:20]!r}, not {expected.decode()}")
    if any(name.startswith("data/aotinductor/") for name in records):
        raise _could_run("it holds a compiled library")
    kept: dict[str, bytes] = {GRAPH: _spelled(_plain_graph(json.loads(records[GRAPH])))}
    for name, raw in _CONFIGS.items():
        config = cast("dict[str, dict[str, Json]]", json.loads(records[name]))
        kept[name] = _spelled(cast("Json", config))
        folder = name.rpartition("/")[0]
        for file in _raw_files(config, raw):
            kept[f"{folder}/{file}"] = records[f"{folder}/{file}"]
    kept[SAMPLE] = records[SAMPLE] if keep_sample else b""
    kept |= _PLAIN
    version = records[_VERSION].strip()
    if not version.isdigit():
        raise ValueError("it does not say its version")
    kept[_VERSION] = version + b"\n"
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", compression=zipfile.ZIP_STORED) as archive:
        for name, content in sorted(kept.items()):
            archive.writestr(zipfile.ZipInfo(f"{_ROOT}/{name}", _EPOCH), content)
    return out.getvalue()


def _raw_files(config: Mapping[str, Mapping[str, Json]], raw: re.Pattern[str]) -> Iterator[str]:
    for name, entry in config["config"].items():
        described = cast("dict[str, Json]", entry)
        file = described["path_name"]
        if not isinstance(file, str) or not raw.fullmatch(file) or not _PATH.fullmatch(name):
            raise _could_run(f"it keeps {name[:40]} as an object, not as numbers")
        if described["use_pickle"] is not False:
            raise _could_run(f"it keeps {name[:40]} as a pickle")
        yield file


def _plain_graph(graph: Json) -> Json:
    """Return the graph without guards and traces, every text in it looked at."""
    out = _checked(graph, "", 0)
    if not isinstance(out, dict):
        raise TypeError(f"{GRAPH} is no object")
    out["guards_code"] = []
    return out


def _checked(value: Json, key: str, depth: int) -> Json:
    if depth > _MAX_DEPTH:
        raise ValueError(f"it is nested deeper than {_MAX_DEPTH}")
    if isinstance(value, str):
        return _checked_text(value, key)
    if isinstance(value, list):
        return [_checked(item, key, depth + 1) for item in value]
    if isinstance(value, dict):
        for name in value:
            if not _PATH.fullmatch(name):
                raise _could_run(f"{name[:40]!r} cannot be a name")
        return {
            # Nothing in it is needed; it holds source lines, which come into the program's code.
            name: {} if name == "metadata" else _checked(item, name, depth + 1)
            for name, item in value.items()
            if name != "guards_code"
        }
    return value


def _checked_text(text: str, key: str) -> str:
    match key:
        case "target" | "as_operator":
            if not _TARGET.fullmatch(text) or _FILES.match(text):
                raise _could_run(f"it calls {text[:60]}, which is none of the plain operations")
        case "expr_str":
            if not _SIZE.fullmatch(text):
                raise _could_run(f"it has a size of {text[:60]!r}")
        case "in_spec" | "out_spec":
            _check_spec(json.loads(text) if text else None)
        case "torch_version":
            if not _RELEASE.fullmatch(text):
                raise _could_run("it names no release of PyTorch")
        case _:
            if text and not (_NAME if key == "name" else _PATH).fullmatch(text):
                raise _could_run(f"it holds the text {text[:60]!r} as {key}")
    return text


def _check_spec(spec: object) -> None:
    """Look at how inputs and outputs are nested: in tuples, lists and dictionaries alone."""
    if isinstance(spec, list):
        for item in cast("list[object]", spec):
            _check_spec(item)
    elif isinstance(spec, dict):
        node = cast("dict[str, object]", spec)
        if node.get("type") not in _KINDS:
            raise _could_run(f"it takes or gives a {node.get('type')!s:.60}")
        context = node.get("context")
        if isinstance(context, str) and re.search(r"[^\w\s\[\]\",.]", context):
            raise _could_run(f"it names inputs {context[:60]!r}")
        _check_spec(node.get("children_spec"))


def _spelled(value: Json) -> bytes:
    return json.dumps(value, separators=(",", ":"), sort_keys=True).encode()


def _no_program(why: str) -> Corrupt:
    return Corrupt("this is not a whole exported program of PyTorch", why=why)


def _could_run(why: str) -> Refused:
    return Refused(
        "the exported program holds more than plain operations and numbers",
        why=f"{why}; loading it could run code",
        fix="export the module again with torch.export from operations of PyTorch's own",
    )
