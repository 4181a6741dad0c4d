"""The embedded door's service of the registry."""

from __future__ import annotations

from millwright.artifacts.trees import load_tree
from millwright.core.digest import Digest
from millwright.core.ids import LoggedModelId, RunId
from millwright.core.refs import parse_version
from millwright.doors.models import (
    AliasAt,
    FoundModel,
    FoundModels,
    FoundVersions,
    ModelCard,
    ModelHistory,
)
from millwright.records.models import (
    AliasChange,
    Approval,
    Attestation,
    Model,
    ModelVersion,
    PickleRuling,
    Risk,
    Stage,
)
from millwright.records.purges import Purged
from millwright.records.runs import ArtifactFile
from millwright.registry.compare import Comparison
from millwright.workspace.services import Service


class Models(Service):
    """Fills `doors.models.Models`."""

    def list_all(self) -> list[Model]:
        return self.home.models.list(self.session.key)

    def create(
        self,
        *,
        name: str,
        risk: Risk = "low",
        reason: str = "",
        description: str = "",
        governed: bool = True,
        tags: dict[str, str] | None = None,
    ) -> Model:
        return self.home.models.create(
            self.session.act(reason),
            name=name,
            risk=risk,
            description=description,
            governed=governed,
            tags=tags,
        )

    def find(self, *, name: str) -> FoundModel:
        return FoundModel(
            model=self.home.models.model(self.session.key, name),
            latest=self.home.model_searches.latest(self.session.key, name),
        )

    def search(
        self,
        *,
        filter: str = "",
        order: list[str] | None = None,
        limit: int = 100,
        token: str | None = None,
    ) -> FoundModels:
        found = self.home.model_searches.models(
            self.session.key, filter_=filter, order=order or (), limit=limit, token=token
        )
        models = [FoundModel(model=model, latest=latest) for model, latest in found.models]
        return FoundModels(models=models, next_token=found.next_token)

    def search_versions(
        self,
        *,
        filter: str = "",
        order: list[str] | None = None,
        limit: int = 100,
        token: str | None = None,
    ) -> FoundVersions:
        found = self.home.model_searches.versions(
            self.session.key, filter_=filter, order=order or (), limit=limit, token=token
        )
        return FoundVersions(versions=found.versions, next_token=found.next_token)

    def describe(self, *, name: str, description: str, reason: str = "") -> None:
        self.home.model_changes.describe(self.session.act(reason), name, description)

    def rename(self, *, name: str, new_name: str, reason: str = "") -> None:
        self.home.model_changes.rename(self.session.act(reason), name, new_name)

    def set_tags(self, *, name: str, tags: dict[str, str], reason: str = "") -> None:
        self.home.model_changes.set_tags(self.session.act(reason), name, tags)

    def delete_tag(self, *, name: str, key: str, reason: str = "") -> None:
        self.home.model_changes.delete_tag(self.session.act(reason), name, key)

    def delete(self, *, name: str, reason: str = "") -> None:
        self.home.model_changes.delete(self.session.act(reason), name)

    def restore(self, *, name: str, reason: str = "") -> None:
        self.home.model_changes.restore(self.session.act(reason), name)

    def purge(
        self, *, older_than_days: float | None = None, dry_run: bool = False, reason: str = ""
    ) -> Purged:
        return self.home.model_purges.purge(
            self.session.act(reason), older_than_days=older_than_days, dry_run=dry_run
        )

    def govern(self, *, name: str, governed: bool, reason: str = "") -> None:
        self.home.model_changes.govern(self.session.act(reason), name, governed=governed)

    def register_source(
        self,
        *,
        name: str,
        address: str,
        folder: str | None = None,
        run: RunId | None = None,
        run_link: str = "",
        logged_model: LoggedModelId | None = None,
        description: str = "",
        tags: dict[str, str] | None = None,
        package_digest: Digest | None = None,
        reason: str = "",
    ) -> ModelVersion:
        from millwright.registry.sources import Source  # numpy, which most commands do without

        source = Source(
            address=address,
            folder=folder,
            run=run,
            run_link=run_link,
            logged_model=logged_model,
            description=description,
            tags=tags,
            package_digest=package_digest,
        )
        return self.home.model_sources.register(self.session.act(reason), name, source)

    def describe_version(self, *, ref: str, description: str, reason: str = "") -> None:
        self.home.model_changes.describe_version(self.session.act(reason), ref, description)

    def deprecate(self, *, ref: str, reason: str) -> None:
        self.home.model_changes.deprecate(self.session.act(reason), ref, reason)

    def set_version_tags(self, *, ref: str, tags: dict[str, str], reason: str = "") -> None:
        self.home.model_changes.set_version_tags(self.session.act(reason), ref, tags)

    def delete_version_tag(self, *, ref: str, key: str, reason: str = "") -> None:
        self.home.model_changes.delete_version_tag(self.session.act(reason), ref, key)

    def move_stage(
        self, *, ref: str, stage: Stage, archive_others: bool = False, reason: str = ""
    ) -> ModelVersion:
        self.home.model_changes.move_stage(
            self.session.act(reason), ref, stage, archive_others=archive_others
        )
        return self.home.models.get(self.session.key, ref)

    def delete_version(self, *, ref: str, reason: str = "") -> None:
        self.home.model_changes.delete_version(self.session.act(reason), ref)

    def restore_version(self, *, name: str, version: str, reason: str = "") -> None:
        act = self.session.act(reason)
        self.home.model_changes.restore_version(act, name, parse_version(version))

    def remove_alias(self, *, name: str, alias: str, reason: str = "") -> AliasChange:
        return self.home.aliases.remove_alias(self.session.act(reason), name=name, alias=alias)

    def alias_at(self, *, name: str, alias: str, time_us: int) -> AliasAt:
        found = self.home.aliases.move_before(self.session.key, name, alias, time_us)
        return AliasAt(version=None if found is None else found.version, since=found)

    def register(
        self,
        *,
        name: str,
        package_digest: Digest,
        run: RunId | None = None,
        profile_digest: Digest | None = None,
        reason: str = "",
    ) -> ModelVersion:
        return self.home.models.register(
            self.session.act(reason),
            name=name,
            package_digest=package_digest,
            run=run,
            profile_digest=profile_digest,
        )

    def compare(self, *, left: str, right: str) -> Comparison:
        return self.home.cards.compare(self.session.key, left, right)

    def files(self, *, ref: str) -> list[ArtifactFile]:
        version = self.home.models.get(self.session.key, ref)
        return [
            ArtifactFile(path=one.path, digest=one.digest, size_bytes=one.size_bytes)
            for one in load_tree(self.home.artifacts, version.package_digest).entries
        ]

    def card(self, *, ref: str) -> ModelCard:
        version = self.home.models.get(self.session.key, ref)
        text = self.home.cards.draft(self.session.key, version.id)
        return ModelCard(model=version.name, version=version.version, text=text)

    def attest(self, *, ref: str, reason: str = "") -> Attestation:
        return self.home.attestations.attest(self.session.act(reason), ref)

    def attestation(self, *, ref: str) -> Attestation:
        return self.home.attestations.find(self.session.key, ref)

    def allow_pickle(self, *, ref: str, reason: str) -> PickleRuling:
        return self.home.pickle_rulings.rule(self.session.act(reason), ref, allowed=True)

    def refuse_pickle(self, *, ref: str, reason: str = "") -> PickleRuling:
        return self.home.pickle_rulings.rule(self.session.act(reason), ref, allowed=False)

    def pickle_ruling(self, *, ref: str) -> PickleRuling:
        return self.home.pickle_rulings.find(self.session.key, ref)

    def show(self, *, ref: str) -> ModelVersion:
        return self.home.models.get(self.session.key, ref)

    def history(self, *, name: str) -> ModelHistory:
        return ModelHistory(
            model=self.home.models.model(self.session.key, name),
            versions=list(self.home.models.versions(self.session.key, name)),
            aliases=self.home.aliases.history(self.session.key, name),
        )

    def promote(self, *, ref: str, alias: str = "champion", reason: str = "") -> AliasChange:
        return self.home.promotions.promote(self.session.act(reason), ref, alias)

    def rollback(self, *, name: str, alias: str = "champion", reason: str) -> AliasChange:
        return self.home.aliases.rollback(self.session.act(reason), name=name, alias=alias)

    def approve(self, *, ref: str, alias: str = "champion", reason: str = "") -> Approval:
        return self.home.promotions.decide(self.session.act(reason), ref, alias, approve=True)

    def reject(self, *, ref: str, alias: str = "champion", reason: str) -> Approval:
        return self.home.promotions.decide(self.session.act(reason), ref, alias, approve=False)

    def approvals(self, *, state: str | None = None) -> list[Approval]:
        return self.home.approvals.list_all(self.session.key, state=state)
