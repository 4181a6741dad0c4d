"""The files of the demo's project: an ordinary project, to be read and edited."""

from __future__ import annotations

from pathlib import Path

SETTINGS = """\
# The demo's project; every key may be left out. `mill config` shows what holds.
project = "default"
home = ".millwright"

[policy]
protected_aliases = ["champion"]
needs_gate = true
approval_days = 14.0
gate = "gate.yaml"
"""

PIPELINE = '''\
"""The demo's pipeline. Edit it and run it again: `mill run pipeline.py -p data=demo@v1 ...`."""

from pathlib import Path

from millwright import pipeline
from millwright.catalogue.clean import clean
from millwright.catalogue.evaluate import evaluate
from millwright.catalogue.ingest import ingest
from millwright.catalogue.keep import keep
from millwright.catalogue.register import register
from millwright.catalogue.split import split
from millwright.catalogue.train import train
from millwright.catalogue.validate import validate


@pipeline
def demo(
    data: Path,
    target: str,
    key: str,
    excluded: list[str],
    expectations: list[dict[str, object]],
    risk: str = "low",
    kind: str = "forest",
    max_depth: int = 3,
    trees: int = 100,
    seed: int = 0,
    holdout: float = 0.3,
):
    rows = ingest(data)
    valid = validate(rows, expectations, target)
    tidy = clean(valid, target)
    train_rows, holdout_rows = split(tidy, key, holdout, seed)
    keep(holdout_rows, "demo-holdout")
    model = train(train_rows, target, excluded, kind, max_depth, trees, seed)
    evaluate(model, holdout_rows, target, excluded)
    register(model, train_rows, excluded, key, "demo", risk)
'''


def gate(*, margin: float, protected: str | None) -> str:
    """Return the demo's gate as YAML."""
    groups = f"  - {{check: groups, column: {protected}}}\n" if protected else ""
    return (
        "# Judged on rows that neither model was trained on; every check must pass.\n"
        "checks:\n"
        "  - {check: signature}\n"
        "  - {check: unseen_rows}\n"
        "  - {check: floor, metric: auc, at_least: 0.7}\n"
        f"  - {{check: champion, metric: auc, margin: {margin}}}\n" + groups
    )


def files(*, margin: float, protected: str | None) -> dict[str, str]:
    """Return the project's files by name."""
    return {
        "millwright.toml": SETTINGS,
        "pipeline.py": PIPELINE,
        "gate.yaml": gate(margin=margin, protected=protected),
    }


def write(folder: Path, files: dict[str, str]) -> None:
    """Write the project's files, leaving those that are there as they are."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        path = folder / name
        if not path.exists():
            aside = path.with_suffix(path.suffix + ".part")
            aside.write_text(text, encoding="utf-8")
            aside.replace(path)
