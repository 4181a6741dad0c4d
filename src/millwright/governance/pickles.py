"""Who may load a pickle: nobody, until somebody who answers for the project says so.

The yes is for one version, by its model's digest; it stands in the journal with its reason, and
is read from there. It lets a model be loaded by whoever asks for it, in a process of his own.
Serving, gates and explanations run no code out of files, whatever was allowed: they hold keys.
"""

from __future__ import annotations

from millwright.core.errors import Invalid
from millwright.journal.log import Journal
from millwright.records.events import Act, Subject
from millwright.records.model_events import PickleRuled
from millwright.records.models import PickleRuling
from millwright.registry.models import Models


class PickleRulings:
    """What was allowed in the projects of a home."""

    def __init__(self, journal: Journal, models: Models) -> None:
        self._journal = journal
        self._models = models

    def rule(self, act: Act, ref: str, *, allowed: bool) -> PickleRuling:
        """Allow that a version's pickle is loaded, or take it back.

        Raises NotFound, and Invalid without a reason or when there is no pickle to allow.
        """
        version = self._models.get(act.project_key, ref)
        if allowed and not act.reason.strip():
            raise Invalid(
                "a permission to load a pickle needs a reason",
                why="loading it runs whatever code is in it",
                fix="say where it comes from, and why it is not written without a pickle",
            )
        package = self._models.package(version.package_digest) if allowed else None
        if package is not None and not package.pickled:
            ref = f"{version.name}@v{version.version}"
            raise Invalid(
                f"{ref} is no pickle, and needs no permission",
                why="none of its files runs code when it is loaded here",
                fix=f"load it: mw.load_model({ref!r})"
                if package.flavors
                else f"load it with the tool that wrote it: mill model fetch {ref} FOLDER",
            )
        detail = PickleRuled(
            reason=act.reason, name=version.name, version=version.version, allowed=allowed
        )
        subject = Subject(kind="model_version", id=version.id, digest=version.digest)
        with self._journal.database.write() as tx:
            self._journal.append(tx, act, detail, [subject])
        return self.find(act.project_key, version.id)

    def find(self, project_key: int, ref: str) -> PickleRuling:
        """Return what was ruled last of a version; raises NotFound."""
        version = self._models.get(project_key, ref)
        found = self._journal.events(
            limit=1,
            project=project_key,
            kinds=[PickleRuled.__name__],
            subject=("model_version", version.id),
            newest_first=True,
        )
        # A detail that was erased allows nothing.
        said = (found[0].detail if found else None) or {}
        return PickleRuling(
            model=version.name,
            version=version.version,
            digest=version.digest,
            allowed=said.get("allowed") is True,
            reason=str(said.get("reason", "")),
            event=found[0].id if found else None,
        )
