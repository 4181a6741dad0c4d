"""Results of steps as artifacts, and back, each kind in a format that carries no code.

    json     text, numbers, lists, mappings, records     JSON; nan and infinities kept
    table    polars.DataFrame                            uncompressed Arrow IPC, memory-mapped
    array    numpy.ndarray                               .npy without pickle
    model    what the model codec handles                the codec's own bytes
    bytes    bytes                                       as they are
    folder   a Path to a folder                          a tree of files
    file     a Path to a file                            a tree of one file, which keeps its name
    data     a file given to a pipeline                  as it is; never a result

Nothing is ever pickled: a pickle runs code when it is read. polars and numpy are imported only
when a value of theirs is met, since a worker for plain steps should start at once.
"""

from __future__ import annotations

import io
import math
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast

import msgspec

from millwright.artifacts.store import ArtifactStore, key_of
from millwright.artifacts.trees import fetch_tree, load_tree, put_tree
from millwright.core.digest import Digest, digest_bytes, digest_file
from millwright.core.errors import Invalid, MillwrightError, NotFound, Refused
from millwright.pipelines.arguments import Stored
from millwright.records.pipelines import StepOutput

if TYPE_CHECKING:
    import polars as pl

ALLOWED = (
    "a step may return text, numbers, lists, mappings, records (msgspec, dataclass, NamedTuple), "
    "a polars DataFrame, a numpy array, a model, bytes, or a Path to a file or folder"
)
_NOT_FINITE = "$float"


class _Scalar(Protocol):
    def item(self) -> object: ...


class ModelCodec(Protocol):
    """Turns models into bytes and back, without pickle."""

    def handles(self, value: object) -> bool:
        """Tell whether `value` is a model this codec can keep."""
        ...

    def dumps(self, value: object) -> bytes:
        """Return the model's bytes; the same model gives the same bytes."""
        ...

    def loads(self, data: bytes) -> object:
        """Return the model; raises Refused for bytes that would run code."""
        ...


@dataclass(frozen=True, slots=True)
class Values:
    """Saves and loads values in one artifact store."""

    store: ArtifactStore
    codec: ModelCodec | None = None
    damaged: frozenset[Digest] = frozenset()
    """Stored objects known to be damaged; a result with the same digest takes their place."""

    def save(self, value: object, *, step: str, output: str, hint: object = None) -> StepOutput:
        """Store a result; `hint` is its annotation. Raises Invalid naming step, output and type."""
        place = f"step {step}, output {output}"
        kind, content = self._encode(value, hint, place)
        if isinstance(content, dict):
            for path in content.values():
                self._replace_damaged(digest_file(path) if self.damaged else None)
            digest = put_tree(self.store, content).digest
        else:
            self._replace_damaged(digest_bytes(content) if self.damaged else None)
            digest = self.store.put_bytes(content)
        return StepOutput(name=output, kind=kind, digest=digest)

    def load(self, stored: Stored, *, hint: object, folder: Path, place: str) -> object:
        """Return a stored value; `hint` says how to read JSON, `folder` is for files.

        Raises NotFound and Corrupt as the store does, and Invalid when JSON does not fit `hint`.
        """
        match stored.kind:
            case "json":
                return _decode_json(self.store.read_bytes(stored.digest), hint, place)
            case "table":
                return self._load_table(stored.digest)
            case "array":
                import numpy as np

                data = io.BytesIO(self.store.read_bytes(stored.digest))
                return np.load(data, allow_pickle=False)
            case "model":
                if self.codec is None:
                    raise Invalid(f"{place} is a model, and no codec for models was given")
                return self.codec.loads(self.store.read_bytes(stored.digest))
            case "bytes":
                return self.store.read_bytes(stored.digest)
            case "folder":
                fetch_tree(self.store, stored.digest, folder)
                return folder
            case "file":
                tree = fetch_tree(self.store, stored.digest, folder)
                return folder / tree.entries[0].path
            case "data":
                folder.mkdir(parents=True, exist_ok=True)
                target = folder / (stored.name or "data")
                self.store.fetch(stored.digest, target)
                return target
            case _:
                raise Invalid(f"{place} is of the kind {stored.kind!r}, which nobody can read")

    def _encode(
        self, value: object, hint: object, place: str
    ) -> tuple[str, bytes | dict[str, Path]]:
        if isinstance(value, bytes | bytearray):
            return "bytes", bytes(value)
        if isinstance(value, Path):
            return _encode_path(value, place)
        package = type(value).__module__.partition(".")[0]
        if package == "polars" and type(value).__name__ == "DataFrame":
            return "table", _encode_table(cast("pl.DataFrame", value))
        if package == "numpy" and hasattr(value, "ndim") and hasattr(value, "tofile"):
            encoded = _encode_array(value, place)
            if encoded is not None:
                return "array", encoded
        if self.codec is not None and self.codec.handles(value):
            return "model", self.codec.dumps(value)
        return "json", _encode_json(value, hint, place)

    def _load_table(self, digest: Digest) -> pl.DataFrame:
        import polars as pl

        with self.store.open_verified(digest) as stream:
            # A local backend hands out the object's own file, which never changes, so the frame
            # may lie on it; what comes from elsewhere is read into memory.
            name: object = getattr(stream, "name", None)
            if isinstance(name, str | Path):
                return pl.read_ipc(Path(name))
            return pl.read_ipc(stream.read())

    def _replace_damaged(self, digest: Digest | None) -> None:
        if digest in self.damaged and digest is not None:
            self.store.backend.delete(key_of(digest))


def load_codec(path: str) -> ModelCodec | None:
    """Return the codec at `module:attribute`, called when it is a class; None for no path."""
    if not path:
        return None
    import importlib

    module, _, attribute = path.partition(":")
    found: object = getattr(importlib.import_module(module), attribute)
    return cast("ModelCodec", found() if isinstance(found, type) else found)


def damaged_objects(
    store: ArtifactStore, output: StepOutput
) -> Iterator[tuple[Digest, MillwrightError]]:
    """Read a stored result whole, and iterate over its objects that are gone or damaged."""
    digests = [output.digest]
    if output.kind in {"folder", "file"}:
        try:
            digests += [entry.digest for entry in load_tree(store, output.digest).entries]
        except (NotFound, Refused, Invalid) as error:
            yield output.digest, error
            return
    for digest in digests:
        try:
            store.verify(digest)
        except (NotFound, Refused) as error:
            yield digest, error


def _encode_path(path: Path, place: str) -> tuple[str, dict[str, Path]]:
    if path.is_file():
        return "file", {path.name: path}
    if path.is_dir():
        inner = (file for file in sorted(path.rglob("*")) if not file.is_dir() or file.is_symlink())
        return "folder", {file.relative_to(path).as_posix(): file for file in inner}
    raise Invalid(f"{place} is {path}, which is neither a file nor a folder")


def _encode_table(frame: pl.DataFrame) -> bytes:
    target = io.BytesIO()
    frame.rechunk().write_ipc(target, compression="uncompressed")
    return target.getvalue()


def _encode_array(value: object, place: str) -> bytes | None:
    """Return the bytes of an array, or None when `value` is one number of numpy's."""
    import numpy as np

    if not isinstance(value, np.ndarray):
        return None
    array = cast("np.ndarray[Any, np.dtype[Any]]", value)
    if array.dtype.hasobject:
        raise Invalid(
            f"{place} is an array of Python objects",
            why="such an array can only be kept by pickling, which runs code when it is read",
            fix="give it a type of numbers or text, as in array.astype(str)",
        )
    target = io.BytesIO()
    np.save(target, array, allow_pickle=False)
    return target.getvalue()


def _encode_json(value: object, hint: object, place: str) -> bytes:
    try:
        plain = msgspec.to_builtins(value, enc_hook=_scalar, builtin_types=())
    except (TypeError, ValueError) as error:
        raise _not_allowed(value, place, str(error)) from error
    data = msgspec.json.encode(_mark_not_finite(plain))
    if not _is_json(value):
        # It comes back as what it was only by its annotation: 2026-01-01 is text in JSON.
        try:
            if hint in {None, object, Any} or isinstance(hint, str):
                raise TypeError("its type is written nowhere")
            _convert(plain, hint)
        except (TypeError, msgspec.ValidationError) as error:
            raise Invalid(
                f"{place} is a {type(value).__name__} that the step's annotations do not describe",
                why=str(error),
                fix="annotate what the step returns, with the types inside, as in "
                "`-> dict[str, date]`",
            ) from error
    return data


def _decode_json(data: bytes, hint: object, place: str) -> object:
    plain: object = msgspec.json.decode(data)
    if _NOT_FINITE.encode() in data:
        plain = _restore_not_finite(plain)
    if hint is None:
        return plain
    try:
        return _convert(plain, hint)
    except msgspec.ValidationError as error:
        raise Invalid(f"{place} does not fit its annotation: {error}") from error
    except TypeError:
        return plain  # An annotation that says nothing about JSON, such as a protocol.


def _convert(plain: object, hint: object) -> object:
    return msgspec.convert(plain, cast("type[object]", hint), str_keys=True)


def _scalar(value: object) -> object:
    """Turn a single number of numpy's into Python's; anything else is not JSON."""
    numpy = sys.modules.get("numpy")
    if numpy is not None and isinstance(value, numpy.generic):
        return cast("_Scalar", value).item()
    raise TypeError(f"it holds a {type(value).__module__}.{type(value).__name__}")


def _is_json(value: object) -> bool:
    """Tell whether JSON gives the value back without being told its type; a tuple as a list."""
    if value is None or type(value) in {str, int, float, bool}:
        return True
    if type(value) in {list, tuple}:
        return all(_is_json(item) for item in cast("list[object]", value))
    if type(value) is dict:
        items = cast("dict[object, object]", value).items()
        return all(type(key) is str and _is_json(item) for key, item in items)
    numpy = sys.modules.get("numpy")
    return numpy is not None and isinstance(value, numpy.generic)


def _mark_not_finite(value: object) -> object:
    """Return `value` with nan and infinities as objects, since JSON would make them null."""
    if isinstance(value, float):
        return value if math.isfinite(value) else {_NOT_FINITE: str(value)}
    if isinstance(value, list | tuple):
        return [_mark_not_finite(item) for item in cast("list[object]", value)]
    if isinstance(value, Mapping):
        items = cast("Mapping[object, object]", value).items()
        return {key: _mark_not_finite(item) for key, item in items}
    return value


def _restore_not_finite(value: object) -> object:
    if isinstance(value, list):
        return [_restore_not_finite(item) for item in cast("list[object]", value)]
    if isinstance(value, dict):
        items = cast("dict[str, object]", value)
        if items.keys() == {_NOT_FINITE}:
            return float(str(items[_NOT_FINITE]))
        return {key: _restore_not_finite(item) for key, item in items.items()}
    return value


def _not_allowed(value: object, place: str, why: str) -> Invalid:
    kind = type(value)
    fix = ALLOWED
    if kind.__module__.partition(".")[0] == "pandas":
        fix = "return polars.from_pandas(frame), or its columns as numpy arrays"
    elif kind.__name__ == "LazyFrame":
        fix = "return frame.collect()"
    elif kind.__name__ in {"generator", "map", "filter", "zip"}:
        fix = "return list(…) of it"
    return Invalid(
        f"{place} is a {kind.__module__}.{kind.__qualname__}, which cannot be kept",
        why=why,
        fix=fix,
    )
