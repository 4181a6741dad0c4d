"""`mill demo`: the whole loop on real data, every figure measured while it runs."""

from __future__ import annotations

import re
import shlex
import shutil
import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from millwright.cli.session import session
from millwright.cli.verbs import single
from millwright.core.errors import Invalid, NeedsApproval
from millwright.core.refs import did_you_mean

FOLDER = "millwright-demo"
SCENARIOS = {
    "drift": "an instrument changes; the model is retrained and let in step by step",
    "healthy": "nothing changes; nothing is done",
    "bad-candidate": "the retrained model is worse; the gate says no",
    "faulty-canary": "the retrained model answers slowly; it is rolled back by itself",
    "unapproved": "the model is of high risk; the promotion waits for another person",
}

app = single()


@app.command(help="Tell the whole loop on real data, in a project folder of its own.")
def demo(
    data: Annotated[
        Path | None, typer.Option("--data", help="A CSV or Parquet file of your own.")
    ] = None,
    target: Annotated[
        str | None, typer.Option("--target", help="Its column to predict; two values.")
    ] = None,
    protected: Annotated[
        str | None,
        typer.Option("--protected", help="A column of groups; not learnt from, but reported."),
    ] = None,
    use_protected: Annotated[
        bool, typer.Option("--use-protected", help="Learn from it all the same; journaled.")
    ] = False,
    scenario: Annotated[
        str, typer.Option("--scenario", help=f"One of: {', '.join(SCENARIOS)}.")
    ] = "drift",
    drift: Annotated[
        str | None,
        typer.Option("--drift", help="COLUMN:shift|scale|missing|stuck."),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", help="Of every draw and fit.")] = 0,
    keep: Annotated[
        bool, typer.Option("--keep", help="Leave the processes running at the end.")
    ] = False,
) -> None:
    """Run the demo; exit 0 when the scenario came out as it says, 6 when it waits for a person."""
    if scenario not in SCENARIOS:
        raise Invalid(
            f"no scenario is called {scenario!r}",
            why="; ".join(f"{name}: {words}" for name, words in SCENARIOS.items()),
            fix=did_you_mean(scenario, SCENARIOS),
        )
    from millwright.cli import demo_project
    from millwright.cli.demo_data import load_rows, parse_change
    from millwright.cli.demo_facts import MARGIN
    from millwright.cli.demo_story import Story, Telling
    from millwright.workspace.config import load_config

    current = session()
    rows = load_rows(
        data, target=target, protected=protected, use_protected=use_protected, seed=seed
    )
    change = parse_change(drift, rows)
    root = current.given.home or Path(
        _folder(data, scenario, seed, drift, protected, use_protected=use_protected)
    )
    demo_project.write(root, demo_project.files(margin=MARGIN, protected=protected))
    config = load_config(
        environment={}, folder=root, home=root / ".millwright", project=current.given.project
    )
    started = time.monotonic()

    def say(text: str) -> None:
        if not current.given.quiet:
            stream = sys.stderr if current.given.json else sys.stdout
            stream.write(text + "\n")
            stream.flush()

    say(f"Millwright demo: {scenario}, {SCENARIOS[scenario]}. Seed {seed}.")
    told = Story(
        config,
        rows,
        Telling(
            scenario=scenario,
            seed=seed,
            protected=protected,
            uses_protected=use_protected,
            change=change,
            keep=keep,
        ),
        say,
    )
    stages = told.run()
    say(f"done        in {time.monotonic() - started:.1f} s")
    mill = called(current.environment.get("PATH", ""))
    say(f"look further: cd {root} && {mill} up    (and: {mill} status, {mill} model history demo)")
    if current.given.json:
        public = {name: stage for name, stage in stages.items() if name != "traffic"}
        current.print_json(
            {
                "scenario": scenario,
                "seed": seed,
                "folder": str(root),
                "seconds": round(time.monotonic() - started, 1),
            }
            | public
        )
    if scenario == "unapproved":
        if current.given.json:
            # One document on stdout: the stages have said already who waits for whom.
            raise typer.Exit(NeedsApproval.exit_code)
        raise NeedsApproval(
            "demo@v2 waits for approval",
            why="the model is of high risk, so somebody other than the requester must agree",
            fix=f"cd {root} && {mill} model approve demo@v2 --as demo-approver",
        )


def called(path: str) -> str:
    """Return how `mill` is called from any folder, given PATH: in full where it is not on it."""
    if shutil.which("mill", path=path):
        return "mill"
    beside = Path(sys.executable).with_name("mill")
    python = shlex.quote(sys.executable)
    return shlex.quote(str(beside)) if beside.is_file() else f"{python} -m millwright"


def _folder(
    data: Path | None,
    scenario: str,
    seed: int,
    drift: str | None,
    protected: str | None,
    *,
    use_protected: bool,
) -> str:
    """Return a folder for this telling: one for each, so that none overwrites another."""
    parts = [
        data.stem if data else "",
        scenario if scenario != "drift" else "",
        f"seed{seed}" if seed else "",
        drift or "",
        protected or "",
        "used" if use_protected else "",
    ]
    tail = "-".join(re.sub(r"[^A-Za-z0-9_.]+", "-", part) for part in parts if part)
    return f"{FOLDER}-{tail}" if tail else FOLDER
