"""Proves an event to somebody outside: its place under a checkpoint that he may keep."""

from __future__ import annotations

from millwright.core.errors import Conflict, NotFound
from millwright.core.ids import EventId, ProjectId
from millwright.doors.audit import Proof
from millwright.journal.log import Journal


def prove(journal: Journal, event: EventId, *, project: ProjectId) -> Proof:
    """Return the proof that an event stands in the journal, up to a signed checkpoint.

    Raises NotFound for an unknown event and for one of another project, and Conflict when it
    is not yet under a checkpoint.
    """
    told = journal.get(event)
    if told.project != project:
        # In the words of an event that does not exist: other projects are not to be probed.
        raise NotFound(f"there is no event {event}", fix="list events with `mill audit list`")
    note = journal.checkpoint()
    size = int(note.split("\n")[1])
    if told.place >= size:
        raise Conflict(f"{event} is not yet under a checkpoint", fix="try again")
    found = journal.prove(event, size)
    return Proof(
        event=event,
        index=found.index,
        size=found.size,
        leaf=found.leaf.hex(),
        path=[step.hex() for step in found.path],
        root=found.root.hex(),
        checkpoint=note,
    )
