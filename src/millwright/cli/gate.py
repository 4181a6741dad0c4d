"""`mill gate`: verdicts on model versions."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from millwright.cli import text
from millwright.cli.session import session
from millwright.cli.text import Style
from millwright.cli.verbs import DryRun, Reason, noun
from millwright.core.errors import Invalid, NotFound, Refused
from millwright.records.models import CheckResult, GateReport, Verdict

app = noun("Verdicts on model versions.")

_WORDS: dict[Verdict, tuple[str, Style]] = {
    "pass": ("PASS", "good"),
    "fail": ("FAIL", "bad"),
    "undetermined": ("UNSURE", "bad"),
}
_WORD_CHARS = max(len(word) for word, _ in _WORDS.values())

Ref = Annotated[
    str, typer.Argument(metavar="REF", help="A model version: NAME@v3, NAME@champion, or an id.")
]


@app.command()
def check(
    ref: Ref,
    data: Annotated[
        str, typer.Option("--data", metavar="DATASET", help="Rows that were not trained on.")
    ],
    target: Annotated[str, typer.Option("--target", metavar="COLUMN", help="What is true.")],
    baseline: Annotated[
        str | None,
        typer.Option("--baseline", metavar="REF", help="By default the champion."),
    ] = None,
    spec: Annotated[
        Path | None, typer.Option("--spec", metavar="FILE", help="The gate, YAML or JSON.")
    ] = None,
    reason: Reason = "",
    dry_run: DryRun = False,
) -> None:
    """Judge a version on labelled rows; exit 5 unless every check passes."""
    here = session()
    gate = None if spec is None else _read(spec)
    with here.door() as door:
        if dry_run:
            version, rows = door.models.show(ref=ref), door.data.show(ref=data)
            if target not in {column.name for column in rows.schema.columns}:
                columns = ", ".join(column.name for column in rows.schema.columns)
                raise NotFound(f"{data} has no column {target!r}", why=f"it has {columns}")
            here.would(
                "gates.check",
                ref=f"{version.name}@v{version.version}",
                dataset=f"{rows.name}@v{rows.version}",
                target=target,
                baseline=baseline,
                spec=gate,
                found=[f"{text.counted(rows.row_count, 'row')} to judge on"],
            )
            return
        report = door.gates.check(
            ref=ref, dataset=data, target=target, baseline=baseline, spec=gate, reason=reason
        )
    here.answer(report, lambda: verdict_lines(report))
    if report.verdict != "pass":
        raise typer.Exit(Refused.exit_code)


@app.command()
def show(
    gate: Annotated[str, typer.Argument(metavar="ID", help="An id, or a unique beginning.")],
) -> None:
    """Show one verdict with its evidence."""
    here = session()
    with here.door() as door:
        report = door.gates.show(id=gate)
    here.answer(report, lambda: [*verdict_lines(report), "", *_evidence_lines(report)])


@app.command("list")
def list_all(ref: Ref) -> None:
    """List the verdicts on one version, newest first."""
    here = session()
    with here.door() as door:
        found = door.gates.verdicts(ref=ref)
    here.answer(
        found,
        lambda: text.table(
            ["verdict", "model", "baseline", "metrics", "judged", "id"],
            [
                (
                    one.verdict,
                    f"{one.model}@v{one.version}",
                    None if one.baseline is None else f"v{one.baseline}",
                    _metrics(one.metrics),
                    text.when(one.created_us),
                    one.id,
                )
                for one in found
            ],
        ),
        empty=f"Nobody has judged it yet: mill gate check {ref} --data DATASET --target COLUMN",
    )


def verdict_lines(report: GateReport) -> list[str]:
    """Return a line for each check, and last what came of all."""
    width = max((len(one.name) for one in report.checks), default=0)
    lines = [_check_line(one, width) for one in report.checks]
    total = text.counted(len(report.checks), "check")
    failed = sum(one.verdict == "fail" for one in report.checks)
    unsure = sum(one.verdict == "undetermined" for one in report.checks)
    if report.verdict == "pass":
        summary = f"all of {total} passed"
    elif failed:
        summary = f"{failed} of {total} failed"
    else:
        summary = f"{unsure} of {total} undetermined"
    return [*lines, f"{summary}. Evidence: mill gate show {report.id}"]


def _check_line(one: CheckResult, width: int) -> str:
    word, style = _WORDS[one.verdict]
    line = (
        f"{session().paint(word.ljust(_WORD_CHARS), style)}  {one.name.ljust(width)}  {one.message}"
    )
    needed = one.n_needed
    return line + (f" (about {needed:,} rows would decide it)" if needed is not None else "")


def _evidence_lines(report: GateReport) -> list[str]:
    judged = f"{report.model}@v{report.version}"
    against = None if report.baseline is None else f"{report.model}@v{report.baseline}"
    facts = {
        "gate": report.id,
        "model": judged,
        "baseline": against,
        "metrics": _metrics(report.metrics),
        "baseline metrics": _metrics(report.baseline_metrics),
        "digest": report.digest,
        "actor": report.actor,
        "judged": text.when(report.created_us),
    }
    checks = text.table(
        ["check", "kind", "n", "value", "baseline", "interval", "threshold"],
        [
            (
                one.name,
                one.kind,
                one.n,
                one.value,
                one.baseline,
                text.interval(one.low, one.high),
                one.threshold,
            )
            for one in report.checks
        ],
    )
    evidence = text.indented(text.facts(report.evidence))
    return [*checks, "", *text.facts(facts), "evidence", *evidence]


def _metrics(metrics: dict[str, float]) -> str:
    return ", ".join(f"{name} {text.number(value)}" for name, value in metrics.items())


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise NotFound(f"there is no file {path}", fix="write the gate into one") from error
    except (OSError, UnicodeDecodeError) as error:
        raise Invalid(f"{path} cannot be read", why=str(error)) from error
