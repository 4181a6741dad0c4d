"""`mill predict`: ask a deployed model, over the Open Inference Protocol."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, cast
from urllib.parse import quote

import httpx
import msgspec
import typer
from msgspec import Struct

from millwright.cli import text
from millwright.cli.labels import parse_cell
from millwright.cli.processes import LOOPBACK, SERVING_PORT, read_running
from millwright.cli.session import Session, session
from millwright.cli.verbs import single
from millwright.core.errors import (
    Denied,
    Failed,
    Invalid,
    MillwrightError,
    NotFound,
    TimedOut,
    Unreachable,
)
from millwright.core.refs import did_you_mean
from millwright.records.serving import Cell

app = single()

TIMEOUT_S = 30.0
_BY_STATUS: dict[int, type[MillwrightError]] = {
    400: Invalid,
    401: Denied,
    403: Denied,
    404: NotFound,
    503: Unreachable,
    504: TimedOut,
}

Row = dict[str, Cell]


class _Facts(Struct, frozen=True):
    name: str
    datatype: str


class _Metadata(Struct, frozen=True):
    inputs: list[_Facts]


class _Tensor(Struct, frozen=True):
    name: str
    shape: list[int]
    data: list[object]


class _Response(Struct, frozen=True):
    model_name: str
    model_version: str
    outputs: list[_Tensor]
    parameters: dict[str, Cell] = {}


class Answered(Struct, frozen=True, kw_only=True):
    """What came back for one row."""

    decision: str
    version: str
    action: str
    outputs: dict[str, object]


@app.command()
def predict(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The deployment.")],
    row: Annotated[
        str | None, typer.Option("--row", metavar="JSON", help='One row: {"column": value, …}.')
    ] = None,
    file: Annotated[
        Path | None, typer.Option("--file", metavar="FILE", help="Rows, as CSV or a JSON list.")
    ] = None,
    key: Annotated[
        str | None, typer.Option("--key", metavar="TEXT", help="The sticky key: who is asking.")
    ] = None,
    serving_url: Annotated[
        str | None,
        typer.Option(
            "--serving-url", metavar="URL", help="By default this home's process, or port 8421."
        ),
    ] = None,
) -> None:
    """Ask a deployed model; each answer has the id of its decision."""
    here = session()
    rows = read_rows(row, file)
    url = serving_url or _running_at(here)
    path = f"/v2/models/{quote(name, safe='')}"
    # Proxies are not taken from the environment: what is asked goes where it was sent.
    with httpx.Client(base_url=url, timeout=TIMEOUT_S, trust_env=False) as http:
        about = msgspec.json.decode(_ask(http, url, "GET", path), type=_Metadata)
        body = msgspec.json.encode(request_of(rows, about.inputs, key))
        reply = _ask(http, url, "POST", f"{path}/infer", body)
    found = answers_of(msgspec.json.decode(reply, type=_Response))
    here.answer(found, lambda: answer_lines(found))
    here.say(f"Why it came out so: mill decision explain {found[0].decision}")


def read_rows(row: str | None, file: Path | None) -> list[Row]:
    """Return the rows given by hand or in a file; raises Invalid, and NotFound for no file."""
    if (row is None) == (file is None):
        raise Invalid("give either --row or --file", fix="as in --row '{\"age\": 31}'")
    if row is not None:
        try:
            return [msgspec.json.decode(row, type=Row)]
        except msgspec.DecodeError as error:
            raise Invalid("--row is not a JSON object", why=str(error)) from error
    assert file is not None
    try:
        content = file.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise NotFound(f"there is no file {file}") from error
    except (OSError, UnicodeDecodeError) as error:
        raise Invalid(f"{file} cannot be read", why=str(error)) from error
    if content.lstrip()[:1] == "[":
        try:
            rows = msgspec.json.decode(content, type=list[Row])
        except msgspec.DecodeError as error:
            raise Invalid(f"{file} is not a list of rows", why=str(error)) from error
    else:
        rows = [
            {name: parse_cell(value) for name, value in one.items()}
            for one in csv.DictReader(io.StringIO(content), restkey="", restval="")
        ]
    if not rows:
        raise Invalid(f"{file} has no rows")
    return rows


def request_of(rows: list[Row], inputs: list[_Facts], key: str | None) -> dict[str, object]:
    """Return the request's body: a tensor for each of the model's inputs.

    Raises Invalid for a row that lacks one, or where no row has a column of its name.
    """
    known = [one.name for one in inputs]
    for number, row in enumerate(rows, start=1):
        missing = [name for name in known if name not in row]
        if missing:
            raise Invalid(
                f"row {number} has no {missing[0]!r}",
                why=f"the model takes {', '.join(known)}",
                fix=did_you_mean(missing[0], row) or "null stands for a missing value",
            )
    tensors = [
        {
            "name": one.name,
            "datatype": one.datatype,
            "shape": [len(rows)],
            "data": [_fitting(row[one.name], one.datatype) for row in rows],
        }
        for one in inputs
    ]
    body: dict[str, object] = {"inputs": tensors}
    return body if key is None else body | {"parameters": {"key": key}}


def answers_of(response: _Response) -> list[Answered]:
    """Return the response row by row."""
    parameters = response.parameters
    count = response.outputs[0].shape[0] if response.outputs else 1
    ids = _split(parameters, "decision_id", "decision_ids", count)
    actions = _split(parameters, "action", "actions", count)
    return [
        Answered(
            decision=ids[n],
            version=response.model_version,
            action=actions[n],
            outputs={tensor.name: _value(tensor, n) for tensor in response.outputs},
        )
        for n in range(count)
    ]


def answer_lines(found: list[Answered]) -> list[str]:
    """Return the answers as a table."""
    names = list(found[0].outputs)
    return text.table(
        [*names, "action", "version", "decision"],
        [
            (
                *(_shown(one.outputs[name]) for name in names),
                one.action,
                f"v{one.version}",
                one.decision,
            )
            for one in found
        ],
    )


def _running_at(here: Session) -> str:
    """Return where this home's serving process says it listens, else where one would."""
    from millwright.workspace.open import RUN_FOLDER

    for entry in read_running(here.config().home / RUN_FOLDER):
        if entry.name == "serve" and entry.port is not None:
            return f"http://{entry.host}:{entry.port}"
    return f"http://{LOOPBACK}:{SERVING_PORT}"


def _ask(http: httpx.Client, url: str, method: str, path: str, body: bytes | None = None) -> bytes:
    try:
        headers = {"Content-Type": "application/json"}
        response = http.request(method, path, content=body, headers=headers)
    except httpx.TimeoutException as error:
        raise TimedOut(f"{url} took more than {TIMEOUT_S:g} s") from error
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise Unreachable(
            f"no serving process answers at {url}",
            why=str(error) or type(error).__name__,
            fix="start one with mill up or mill serve, or check --serving-url",
        ) from error
    if response.is_success:
        return response.content
    try:
        words = str(response.json()["error"])
    except (ValueError, KeyError, TypeError):
        words = f"it answers {response.status_code}"
    raise _BY_STATUS.get(response.status_code, Failed)(
        f"{url} did not answer for {path}", why=words
    )


def _fitting(value: Cell, datatype: str) -> Cell:
    # A CSV cannot say that 7 is a text, or that 7.0 is whole.
    if datatype == "BYTES" and value is not None and not isinstance(value, str):
        return msgspec.json.encode(value).decode()
    if datatype.startswith(("INT", "UINT")) and isinstance(value, float) and value.is_integer():
        return int(value)
    return value


def _split(parameters: Mapping[str, Cell], one: str, many: str, count: int) -> list[str]:
    if count == 1:
        return [str(parameters.get(one, ""))]
    parts = str(parameters.get(many, "")).split(",")
    return parts if len(parts) == count else [""] * count


def _value(tensor: _Tensor, n: int) -> object:
    width = len(tensor.data) // max(1, tensor.shape[0])
    cells = tensor.data[n * width : (n + 1) * width]
    return cells[0] if len(tensor.shape) == 1 else cells


def _shown(value: object) -> str | int | float | None:
    if isinstance(value, list):
        return ", ".join(str(_shown(one)) for one in cast("list[object]", value))
    return value if isinstance(value, str | int | float | None) else str(value)
