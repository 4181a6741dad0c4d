"""`mill whoami`: as whom you act."""

from __future__ import annotations

from millwright.cli.session import session
from millwright.cli.user import actor_lines
from millwright.cli.verbs import single

app = single()


@app.command()
def whoami() -> None:
    """Show as whom you act."""
    here = session()
    with here.door() as door:
        actor = door.access.whoami()
    here.answer(actor, lambda: actor_lines(actor))
