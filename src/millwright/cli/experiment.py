"""`mill experiment`: named sets of runs."""

from __future__ import annotations

from millwright.cli import text
from millwright.cli.session import session
from millwright.cli.verbs import noun

app = noun("Named sets of runs.")


@app.command("list")
def list_all() -> None:
    """List the project's experiments."""
    here = session()
    with here.door() as door:
        found = door.experiments.list_all()
    here.answer(
        found,
        lambda: text.table(
            ["number", "name", "created", "id"],
            [(one.number, one.name, text.when(one.created_us), one.id) for one in found],
        ),
        empty="There are no experiments yet; the first run makes one: mill run FILE.py",
    )
