"""`mill labels`: what turned out to be true of decisions."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Annotated, cast

import msgspec
import typer

from millwright.cli import text
from millwright.cli.session import session
from millwright.cli.verbs import DryRun, Reason, noun
from millwright.core.errors import Invalid, NotFound
from millwright.core.ids import DecisionId, parse_id
from millwright.records.serving import Cell, Label

app = noun("What turned out to be true of decisions.")

COLUMNS = ("decision", "value")


@app.command()
def add(
    deployment: Annotated[str, typer.Argument(metavar="DEPLOYMENT")],
    file: Annotated[
        Path,
        typer.Argument(metavar="FILE", help="CSV or JSON with the columns decision and value."),
    ],
    reason: Reason = "",
    dry_run: DryRun = False,
) -> None:
    """Record ground truth by decision id; it may come late, and be corrected."""
    here = session()
    labels = read_labels(file)
    with here.door() as door:
        if dry_run:
            found = door.deployments.show(name=deployment)
            counted = text.counted(len(labels), "label")
            here.would("labels.add", deployment=found.name, labels=counted, reason=reason)
            return
        taken = door.labels.add(deployment=deployment, labels=labels, reason=reason)
    here.answer(
        taken,
        lambda: text.facts(
            {"joined": taken.joined, "corrected": taken.corrected, "unknown": taken.unknown}
        ),
    )
    if taken.unknown:
        here.say("Labels of unknown decisions are kept, and joined when their segment arrives.")


def read_labels(path: Path) -> list[Label]:
    """Return the labels in a file; raises NotFound, and Invalid naming the first bad row."""
    try:
        content = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise NotFound(f"there is no file {path}") from error
    except (OSError, UnicodeDecodeError) as error:
        raise Invalid(f"{path} cannot be read", why=str(error)) from error
    is_json = content.lstrip()[:1] in {"[", "{"}
    rows = _from_json(path, content) if is_json else _from_csv(path, content)
    if not rows:
        raise Invalid(f"{path} holds no labels", fix="give a row for each decision")
    labels: list[Label] = []
    for number, (decision, value) in enumerate(rows, start=1):
        try:
            labels.append(
                Label(decision=DecisionId(parse_id(decision.strip(), "dec")), value=value)
            )
        except Invalid as error:
            raise Invalid(f"{path}, label {number}: {error.what}", why=error.why) from error
    return labels


def _from_json(path: Path, content: str) -> list[tuple[str, Cell]]:
    try:
        found = msgspec.json.decode(content, type=list[Label])
    except msgspec.DecodeError as error:
        raise Invalid(
            f"{path} is not a list of labels",
            why=str(error),
            fix='as in [{"decision": "dec_…", "value": 1}]',
        ) from error
    return [(one.decision, one.value) for one in found]


def _from_csv(path: Path, content: str) -> list[tuple[str, Cell]]:
    reader = csv.DictReader(io.StringIO(content))
    names = reader.fieldnames or ()
    missing = [name for name in COLUMNS if name not in names]
    if missing:
        raise Invalid(
            f"{path} has no column {' and no column '.join(missing)}",
            why=f"its columns: {', '.join(names) or 'none'}",
            fix="give the columns decision and value",
        )
    return [(row["decision"] or "", parse_cell(row["value"] or "")) for row in reader]


def parse_cell(given: str) -> Cell:
    """Return a number, true, false or nothing for what reads like one, else the text itself.

    >>> parse_cell("1"), parse_cell("yes"), parse_cell("")
    (1, 'yes', None)
    """
    if not given.strip():
        return None
    try:
        found: object = msgspec.json.decode(given.strip().encode())
    except msgspec.DecodeError:
        return given
    return cast("Cell", found) if isinstance(found, int | float | bool) else given
