"""Skops files with one spelling: the same fit gives the same bytes, in any process.

skops names the members of its zip by where objects lay in memory, stamps them with the time,
repeats those addresses in `schema.json`, and writes sets in hash order. None of it says
anything about the model. Here the addresses are dropped (two references to one object become
two equal objects, which predict alike), members are numbered in the order the schema first
names their content, and the zip has fixed times.

Fitted arrays of records (the nodes of a tree) have padding between their fields, which holds
whatever the memory held before; it is written as zeros. A histogram booster remembers the
number of cores of the machine it was fitted on, which no prediction reads: it is written as
"as many as there are".
"""

from __future__ import annotations

import io
import json
import zipfile
from typing import TypeAlias, cast

import numpy as np

from millwright.core.errors import Corrupt

Json: TypeAlias = "str | int | float | bool | None | list[Json] | dict[str, Json]"

SCHEMA = "schema.json"
BROKEN = (
    zipfile.BadZipFile,
    KeyError,
    ValueError,
    TypeError,
    AttributeError,
    IndexError,
    ImportError,
    RecursionError,
    UnicodeDecodeError,
)
"""What skops raises for a file that was damaged."""
_EPOCH = (1980, 1, 1, 0, 0, 0)
_FILE_MODE = 0o644 << 16


def canonical_skops(data: bytes) -> bytes:
    """Return the skops file `data` in its one spelling; the spelling of the result is itself.

    Raises Corrupt when `data` is not a skops file.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            schema = cast("Json", json.loads(archive.read(SCHEMA)))
            members = _Members(archive)
            spelled = _spell(schema, members)
    except (zipfile.BadZipFile, KeyError, ValueError) as error:
        raise Corrupt("this is not a skops file", why=str(error)) from error
    text = json.dumps(spelled, separators=(",", ":"), ensure_ascii=True)
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", compression=zipfile.ZIP_STORED) as archive:
        _write(archive, SCHEMA, text.encode())
        for content, name in members.names.items():
            _write(archive, name, content)
    return out.getvalue()


class _Members:
    """Hands out names to the zip's members, in the order their content is first asked for."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self.names: dict[bytes, str] = {}
        self._archive = archive

    def rename(self, old: str) -> str:
        content = self._archive.read(old)
        suffix = old[old.rfind(".") :] if "." in old else ""
        if suffix == ".npy":
            content = _without_padding(content)
        return self.names.setdefault(content, f"{len(self.names)}{suffix}")


def _spell(value: Json, members: _Members) -> Json:
    if isinstance(value, list):
        return [_spell(item, members) for item in value]
    if not isinstance(value, dict):
        return value
    # Only skops' own nodes have a loader that is text; a user's dictionary holds nodes.
    if not isinstance(loader := value.get("__loader__"), str):
        return {key: _spell(item, members) for key, item in value.items()}
    node = {key: item for key, item in value.items() if key != "__id__"}
    if loader == "SetNode" and isinstance(content := node.get("content"), list):
        node["content"] = sorted(content, key=_set_order)
    if loader == "ObjectNode" and node.get("__class__") == "_BinMapper":
        _forget_cores(node)
    if isinstance(name := node.get("file"), str):
        node["file"] = members.rename(name)
    return {key: _spell(item, members) for key, item in node.items()}


def _set_order(node: Json) -> str:
    if isinstance(node, dict):
        node = {key: item for key, item in node.items() if key not in {"__id__", "file"}}
    return json.dumps(node, sort_keys=True)


def _forget_cores(node: dict[str, Json]) -> None:
    state = node.get("content")
    attributes = state.get("content") if isinstance(state, dict) else None
    cores = attributes.get("n_threads") if isinstance(attributes, dict) else None
    if isinstance(cores, dict):
        cores["content"] = "null"


def _without_padding(content: bytes) -> bytes:
    array = cast("np.ndarray", np.load(io.BytesIO(content), allow_pickle=False))
    if array.dtype.names is None:
        return content
    clean = np.zeros(array.shape, dtype=array.dtype)
    for name in array.dtype.names:
        clean[name] = array[name]
    out = io.BytesIO()
    np.save(out, clean, allow_pickle=False)
    return out.getvalue()


def _write(archive: zipfile.ZipFile, name: str, content: bytes) -> None:
    info = zipfile.ZipInfo(name, _EPOCH)
    info.create_system = 3
    info.external_attr = _FILE_MODE
    archive.writestr(info, content)
