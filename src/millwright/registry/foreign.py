"""MLmodel folders that MLflow wrote, of its versions 2 and 3: what is in them, and what is safe.

Nothing is loaded here, and no model library is imported: each flavour's section in MLmodel says
which files it has, and in which format. A format that runs code when it is loaded, or that none
of our flavours reads, is named with the reason; the package can be kept, shown and fetched all
the same.

The digest covers every file of the folder but descriptions of it (MLmodel itself, examples,
environments), the signature, the requirements and the sections: never times, ids or the run. So
the same files logged twice are one model.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import msgspec
import yaml

from millwright.core import canonical
from millwright.core.digest import Digest, digest_bytes
from millwright.core.errors import Invalid
from millwright.records.events import JsonValue
from millwright.registry.facts import (
    EXAMPLE,
    FOREIGN_FORMAT,
    MLMODEL,
    PYTHON_ENV,
    REQUIREMENTS,
    DigestOf,
    Facts,
    Package,
    ReadBytes,
)
from millwright.registry.mlflowschema import parse_params, parse_signature

MAX_BYTES = 1 << 20
MAX_NODES = 100_000
MAX_DEPTH = 64
TOOL = "mlflow"

# Ten times as fast as the one in Python, where the library was built with it.
_Loader: type[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_MERGE = "tag:yaml.org,2002:merge"

_DESCRIPTIONS = frozenset(
    {
        MLMODEL,
        REQUIREMENTS,
        PYTHON_ENV,
        EXAMPLE,
        "conda.yaml",
        "constraints.txt",
        "input_example_params.json",
        "registered_model_meta",
        "serving_input_example.json",
    }
)
_PYFUNC = "python_function"
_ORDER = ("onnx", "xgboost", "lightgbm", "catboost", "sklearn", "pytorch")
"""Which form answers where a package has several."""


@dataclass(frozen=True, slots=True)
class _Form:
    """One flavour of a package, as far as its section tells."""

    files: list[str]
    """Empty when it cannot be loaded here at all."""
    refusal: str = ""
    """Why it does not answer; empty when it can."""
    is_pickle: bool = False
    """Whether it answers once somebody allowed its code to run."""


def parse_foreign(
    data: bytes, read: ReadBytes, digest_of: DigestOf, paths: Iterable[str]
) -> Package:
    """Return what the MLmodel file `data`, not ours, says of its folder.

    Raises Invalid when it is no MLmodel file.
    """
    written = _load(data)
    sections = _sections(written)
    held = sorted(paths)
    described = written.get("signature")
    spoken = cast("Mapping[str, JsonValue]", described if isinstance(described, dict) else {})
    signature, why = parse_signature(spoken)
    forms = {name: _form(name, section, held) for name, section in sections.items()}
    if any(name in forms for name in _ORDER):
        # The same model again, by way of MLflow's loader.
        forms.pop(_PYFUNC, None)
    refusals = {name: form.refusal for name, form in forms.items() if form.refusal}
    able = [name for name in _ORDER if name in forms and not forms[name].refusal]
    if why:
        refusals |= dict.fromkeys(able, f"{why}; log it with an input example of named columns")
    requirements = _text(read, held)
    digest = _digest(
        spoken,
        requirements=requirements,
        sections=sections,
        weights={path: digest_of(path) for path in held if path not in _DESCRIPTIONS},
    )
    facts = Facts(
        format=FOREIGN_FORMAT,
        version=str(written.get("mlflow_version") or ""),
        digest=digest,
        signature=signature,
        classes=[],
        weights={name: form.files for name, form in forms.items() if form.files},
        serve="" if why or not able else able[0],
        not_served_as=refusals,
    )
    run = written.get("run_id")
    return Package(
        digest,
        facts,
        {name: section for name, section in sections.items() if name in facts.weights},
        tool=TOOL,
        run_hex=run if isinstance(run, str) else None,
        pickled=tuple(name for name, form in forms.items() if form.is_pickle),
        params=parse_params(spoken),
    )


def _load(data: bytes) -> dict[str, JsonValue]:
    if len(data) > MAX_BYTES:
        raise _no_mlmodel(f"it has {len(data):,} bytes, and at most {MAX_BYTES:,} are read")
    try:
        _check_events(data)
        loaded: object = yaml.load(data, Loader=_Loader)  # noqa: S506 (a safe loader)
        plain = _Plain().copy(loaded, 0)
        msgspec.json.encode(plain)  # So that it has no half of a character and no endless number.
    except (yaml.YAMLError, RecursionError, ValueError, OverflowError) as error:
        raise _no_mlmodel(" ".join(str(error).split())[:300]) from error
    if not isinstance(plain, dict):
        raise _no_mlmodel("it is no mapping")
    return plain


def _no_mlmodel(why: str) -> Invalid:
    return Invalid(
        f"the package's {MLMODEL} is no MLmodel file",
        why=why,
        fix="give the folder that MLflow or Millwright wrote, with its MLmodel",
    )


def _check_events(data: bytes) -> None:
    """Raise ValueError for what takes much to construct, before anything of it is.

    Merge keys are refused whole: they multiply while they are constructed, and nobody writes them.
    """
    depth = 0
    events = cast(
        "Iterable[yaml.Event]",
        yaml.parse(data, Loader=_Loader),  # pyright: ignore[reportUnknownMemberType]
    )
    for count, event in enumerate(events):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        elif isinstance(event, yaml.ScalarEvent) and (
            event.tag == _MERGE or (event.value == "<<" and event.implicit[0])
        ):
            raise ValueError("it has a merge key")
        if count > MAX_NODES or depth > MAX_DEPTH:
            raise ValueError("it has too many values, or too deep")


class _Plain:
    """Copies what YAML gave into JSON's values, with an end: its aliases can multiply."""

    def __init__(self) -> None:
        self._left = MAX_NODES
        self._left_chars = MAX_BYTES

    def copy(self, value: object, depth: int) -> JsonValue:
        self._left -= 1
        if self._left < 0 or depth > MAX_DEPTH:
            raise ValueError("it unfolds into too much")
        if isinstance(value, str):
            return self._text(value)
        if value is None or isinstance(value, int | float):
            return value
        if isinstance(value, list):
            return [self.copy(item, depth + 1) for item in cast("list[object]", value)]
        if isinstance(value, dict):
            items = cast("dict[object, object]", value).items()
            return {self._text(str(key)): self.copy(item, depth + 1) for key, item in items}
        return self._text(str(value))  # a date, as YAML knows it

    def _text(self, text: str) -> str:
        self._left_chars -= len(text)
        if self._left_chars < 0:
            raise ValueError("it unfolds into too much")
        return text


def _sections(written: Mapping[str, JsonValue]) -> dict[str, dict[str, JsonValue]]:
    flavors = written.get("flavors")
    if not isinstance(flavors, dict) or not flavors:
        raise _no_mlmodel("it names no flavour")
    return {name: section if isinstance(section, dict) else {} for name, section in flavors.items()}


def _form(name: str, section: Mapping[str, JsonValue], held: Sequence[str]) -> _Form:
    match name:
        case "sklearn":
            return _sklearn(section, held)
        case "xgboost":
            return _xgboost(section, held)
        case "lightgbm":
            return _lightgbm(section, held)
        case "catboost":
            return _catboost(section, held)
        case "onnx":
            return _one(section, "data", "model.onnx", held)
        case "pytorch":
            return _pytorch(section, held)
        case "python_function" if section.get("loader_module") == "mlflow.pyfunc.model":
            return _Form(
                [], "it is Python code, which runs only with mlflow in an environment of its own"
            )
        case _:
            return _Form([], f"Millwright has no loader for {name}")


def _sklearn(section: Mapping[str, JsonValue], held: Sequence[str]) -> _Form:
    found = _one(section, "pickled_model", "model.pkl", held)
    kept_as = section.get("serialization_format")
    return found if found.refusal or kept_as == "skops" else _pickled(found, kept_as)


def _xgboost(section: Mapping[str, JsonValue], held: Sequence[str]) -> _Form:
    found = _one(section, "data", "model.ubj", held)
    if not found.refusal and not found.files[0].endswith((".ubj", ".json")):
        return _Form([], f"{found.files[0]} is in XGBoost's old format, which it no longer reads")
    return found


def _lightgbm(section: Mapping[str, JsonValue], held: Sequence[str]) -> _Form:
    found = _one(section, "data", "model.lgb", held)
    if found.refusal or found.files[0].endswith((".lgb", ".skops", ".txt")):
        return found
    return _pickled(found, section.get("serialization_format"))


def _catboost(section: Mapping[str, JsonValue], held: Sequence[str]) -> _Form:
    found = _one(section, "data", "model.cb", held)
    if not found.refusal and section.get("save_format", "cbm") != "cbm":
        return _Form([], f"it is kept as {section.get('save_format')}, and only cbm is read here")
    return found


def _pytorch(section: Mapping[str, JsonValue], held: Sequence[str]) -> _Form:
    folder = str(section.get("model_data") or "data")
    file = f"{folder}/model.pt2"
    if file in held:
        return _Form([file])
    return _Form(
        [],
        f"{folder} holds a pickle of Python objects, which would run code; "
        "log it with serialization_format='pt2'",
    )


def _one(section: Mapping[str, JsonValue], key: str, default: str, held: Sequence[str]) -> _Form:
    file = section.get(key) or default
    if not isinstance(file, str) or file not in held:
        return _Form([], f"its file {file!s:.60} is not in the package")
    return _Form([file])


def _pickled(found: _Form, kept_as: JsonValue) -> _Form:
    return _Form(
        found.files,
        f"{found.files[0]} is a pickle ({kept_as or 'pickle'}), which runs code when it is loaded; "
        "log it with serialization_format='skops', or allow it for this model",
        is_pickle=True,
    )


def _text(read: ReadBytes, held: Sequence[str]) -> str:
    return read(REQUIREMENTS).decode(errors="replace") if REQUIREMENTS in held else ""


def _digest(
    signature: Mapping[str, JsonValue],
    *,
    requirements: str,
    sections: Mapping[str, Mapping[str, JsonValue]],
    weights: Mapping[str, Digest],
) -> Digest:
    spoken = msgspec.json.encode(_deciding(dict(sections)), order="deterministic")
    return digest_bytes(
        canonical.encode(
            {
                "format": FOREIGN_FORMAT,
                "tool": TOOL,
                "signature": msgspec.json.encode(signature, order="deterministic").decode(),
                "requirements": requirements,
                "flavors": spoken.decode(),
                "weights": [[path, weights[path]] for path in sorted(weights)],
            }
        )
    )


# Where an artifact was fetched from, which may name a run; and what a file asks to be trusted,
# which is not followed here, and which MLflow writes in another order each time.
_UNDECIDING = frozenset({"uri", "skops_trusted_types"})


def _deciding(value: object) -> object:
    """Return the sections without what decides no answer."""
    if isinstance(value, dict):
        items = cast("dict[str, object]", value).items()
        return {key: _deciding(item) for key, item in items if key not in _UNDECIDING}
    if isinstance(value, list):
        return [_deciding(item) for item in cast("list[object]", value)]
    return value
