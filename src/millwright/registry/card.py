"""A model card drafted from records, as Markdown.

What the system knows stands in it with its digests; what only people can say (what the model is
for, what it must not be used for) is taken from `notes`, and says plainly when nobody has
written it. The same records give the same text.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from millwright.core.clock import to_datetime
from millwright.records.models import AliasChange, Approval, GateReport, Model, ModelVersion
from millwright.records.runs import Run
from millwright.records.schema import Column

NOTES = ("intended use", "out of scope", "limits", "ethical considerations")
"""What people write; a card has these sections whether they are written or not."""
_UNWRITTEN = "Nobody has written this yet."
_MAX_ROWS = 200


@dataclass(frozen=True, slots=True)
class CardFacts:
    """The records a card is drafted from."""

    model: Model
    version: ModelVersion
    run: Run | None = None
    reports: Sequence[GateReport] = ()
    approvals: Sequence[Approval] = ()
    history: Sequence[AliasChange] = ()
    requirements: str = ""
    notes: Mapping[str, str] = field(default_factory=dict[str, str])
    """Section of `NOTES` -> its text, in Markdown."""


def draft_card(facts: CardFacts) -> str:
    """Return the card of a version."""
    version = facts.version
    parts = [
        f"# {_text(version.name)} v{version.version}",
        _table(("", ""), _summary(facts)),
        *(f"## {name.capitalize()}\n\n{facts.notes.get(name, _UNWRITTEN)}" for name in NOTES[:3]),
        "## Inputs\n\n" + _columns(version.signature.inputs),
        "## Outputs\n\n" + _columns(version.signature.outputs),
        "## Training\n\n" + _training(facts.run),
        "## Evaluation\n\n" + _evaluation(facts),
        "## Approvals and aliases\n\n" + _history(facts),
        f"## {NOTES[3].capitalize()}\n\n{facts.notes.get(NOTES[3], _UNWRITTEN)}",
        "## Environment\n\n" + _environment(facts),
    ]
    return "\n\n".join(parts) + "\n"


def _summary(facts: CardFacts) -> list[tuple[str, str]]:
    version = facts.version
    aliases = [name for name, number in facts.model.aliases.items() if number == version.version]
    return [
        ("Version", f"`{version.id}`"),
        ("Risk", facts.model.risk),
        ("Aliases", ", ".join(_text(name) for name in sorted(aliases)) or "none"),
        ("Registered", f"{_when(version.created_us)} by `{version.actor}`"),
        ("Forms", ", ".join(version.flavors) or "none that is loaded here"),
        ("Model digest", f"`{version.digest}`"),
        ("Package digest", f"`{version.package_digest}`"),
        ("Profile of training rows", _code(version.profile_digest, "none")),
    ]


def _columns(columns: Iterable[Column]) -> str:
    rows = [
        (_text(column.name), column.kind, "yes" if column.nullable else "no") for column in columns
    ]
    return _table(("column", "kind", "may be missing"), rows) if rows else "None are named."


def _training(run: Run | None) -> str:
    if run is None:
        return "No run of this system trained it."
    source = run.source
    rows = [
        ("Run", f"`{run.id}` ({run.status})"),
        ("Experiment", _text(run.experiment)),
        ("Pipeline", _text(run.pipeline or "none")),
        ("Started", _when(run.start_us)),
        ("Code", _code(source.code_digest, "not kept")),
        ("Commit", _commit(run)),
        ("Environment", _code(source.environment_digest, "not kept")),
        ("Python", source.python),
    ]
    parts = [_table(("", ""), rows)]
    inputs = [link for link in run.links if link.way == "input"]
    parts.append(
        "### Data\n\n"
        + (
            _table(
                ("name", "what", "digest"),
                [
                    (_text(link.name), link.what.replace("_", " "), f"`{link.digest}`")
                    for link in sorted(inputs, key=lambda link: (link.what, link.name))
                ],
            )
            if inputs
            else "The run names no data that it read."
        )
    )
    if run.params:
        parts.append("### Parameters\n\n" + _pairs(run.params))
    return "\n\n".join(parts)


def _commit(run: Run) -> str:
    if run.source.git_commit is None:
        return "not known"
    changed = ", and changes that were not committed" if run.source.git_diff_digest else ""
    return f"`{run.source.git_commit}`{changed}"


def _evaluation(facts: CardFacts) -> str:
    parts: list[str] = []
    if facts.run is not None and facts.run.metrics:
        parts.append("### Metrics of the run\n\n" + _pairs(facts.run.metrics))
    for report in facts.reports:
        against = f", against v{report.baseline}" if report.baseline is not None else ""
        rows = [
            (
                _text(check.name),
                check.verdict,
                _number(check.value),
                "" if check.low is None else f"{_number(check.low)} to {_number(check.high)}",
                str(check.n),
                _text(check.message),
            )
            for check in report.checks
        ]
        parts.append(
            f"### Gate: {report.verdict}{against}\n\n`{report.id}`, {_when(report.created_us)}\n\n"
            + _table(("check", "verdict", "value", "interval", "rows", ""), rows)
        )
    return "\n\n".join(parts) or "No gate has judged it, and its run logged no metrics."


def _history(facts: CardFacts) -> str:
    moves = [
        (
            _when(move.time_us),
            _text(move.alias),
            "removed" if move.version is None else f"v{move.version}",
            "" if move.previous is None else f"v{move.previous}",
            f"`{move.actor}`",
            _text(move.reason),
        )
        for move in facts.history
        if facts.version.version in {move.version, move.previous}
    ]
    parts = [
        f"- {_text(each.alias)}: {each.state}, asked for by `{each.requested_by}`"
        + (f", decided by `{each.decided_by}`" if each.decided_by else "")
        + (f": {_text(each.decision_reason)}" if each.decision_reason else "")
        for each in facts.approvals
        if each.version == facts.version.version
    ]
    text = "\n".join(parts)
    if moves:
        table = _table(("when", "alias", "to", "from", "by", "why"), moves)
        return f"{text}\n\n{table}" if text else table
    return text or "No alias has pointed at it."


def _environment(facts: CardFacts) -> str:
    # A fence ends at the next one, wherever it stands.
    text = facts.requirements.replace("`", "")
    lines = [line for line in text.splitlines() if line.strip()]
    return "\n".join(["```", *lines, "```"]) if lines else "Its package names none."


def _pairs(values: Mapping[str, str | float | None]) -> str:
    rows = [
        (_text(key), _number(value) if isinstance(value, float) else _text(str(value)))
        for key, value in sorted(values.items())[:_MAX_ROWS]
    ]
    more = len(values) - len(rows)
    return _table(("name", "value"), rows) + (f"\n\nand {more} more" if more else "")


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _code(digest: str | None, otherwise: str) -> str:
    return otherwise if digest is None else f"`{digest}`"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.6g}"


def _when(time_us: int) -> str:
    return to_datetime(time_us).strftime("%Y-%m-%d %H:%M UTC")


def _text(text: str) -> str:
    """Return what a user wrote as text that Markdown shows, and does not obey."""
    flat = " ".join(text.split())
    return "".join(f"\\{char}" if char in "\\`*_[]<>|#!~" else char for char in flat)
