from __future__ import annotations

import threading
from pathlib import Path

import msgspec
import pytest

from fixtures.registries import Home, packaged
from millwright.artifacts.trees import TreeEntry, encode_manifest, put_tree
from millwright.core.digest import Digest
from millwright.core.errors import Conflict, Corrupt, Invalid, NotFound
from millwright.core.ids import ProjectId, RunId, new_id
from millwright.metadata.tables.access import insert_project
from millwright.registry.models import MAX_DESCRIPTION_BYTES
from millwright.registry.package import load_package
from millwright.stats.profile import start_profile

NOWHERE = Digest("b3:" + "0" * 64)


class TestCreating:
    def test_a_model_is_made_once_and_journaled_once(self, home: Home) -> None:
        made = home.models.create(home.act, name="churn", risk="high")
        assert home.models.create(home.act, name="churn", risk="high") == made
        assert (made.name, made.risk, made.versions, made.aliases) == ("churn", "high", 0, {})
        assert home.models.list(home.act.project_key) == [made]
        assert home.kinds() == ["ModelCreated"]

    def test_another_risk_under_the_same_name_is_a_conflict(self, home: Home) -> None:
        home.models.create(home.act, name="churn", risk="high")
        with pytest.raises(Conflict, match="already, of high risk"):
            home.models.create(home.act, name="churn", risk="low")

    def test_a_name_that_cannot_be_one_is_refused(self, home: Home) -> None:
        with pytest.raises(Invalid, match="cannot be the name of a model"):
            home.models.create(home.act, name="churn@v1")


class TestRegistering:
    def test_a_package_becomes_a_version_with_its_digests(self, home: Home) -> None:
        model = home.models.create(home.act, name="churn")
        run = home.run()
        profile = home.artifacts.put_bytes(start_profile(numeric=["x"], text=[]).to_bytes())
        stored = home.package()
        version = home.models.register(
            home.act, name="churn", package_digest=stored, run=run, profile_digest=profile
        )
        assert (version.version, version.package_digest) == (1, stored)
        assert (version.run, version.profile_digest) == (run, profile)
        assert version.flavors == ["onnx", "sklearn"]
        assert [column.name for column in version.signature.outputs] == [
            "prediction",
            "probability",
        ]
        [*_, event] = home.journal.events()
        assert event.kind == "ModelVersionRegistered"
        assert {(s.kind, s.id, s.digest) for s in event.subjects} == {
            ("model_version", version.id, version.digest),
            ("package", version.id, stored),
            ("model", model.id, None),
            ("run", run, None),
        }

    def test_the_same_fit_is_the_same_version_also_from_another_package(self, home: Home) -> None:
        home.models.create(home.act, name="churn")
        first = home.models.register(home.act, name="churn", package_digest=home.package())
        home.clock.advance(60)
        again = home.package()
        assert again != first.package_digest
        assert home.models.register(home.act, name="churn", package_digest=again) == first
        other = home.models.register(home.act, name="churn", package_digest=home.package(seed=1))
        assert (other.version, other.digest != first.digest) == (2, True)
        assert home.models.versions(home.act.project_key, "churn") == [first, other]
        assert home.kinds().count("ModelVersionRegistered") == 2

    def test_registered_at_once_each_model_gets_one_number(self, home: Home) -> None:
        home.models.create(home.act, name="churn")
        packages = [home.package(seed) for seed in (0, 1, 0, 1)]
        threads = [
            threading.Thread(
                target=home.models.register,
                args=(home.act,),
                kwargs={"name": "churn", "package_digest": package},
            )
            for package in packages
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        versions = home.models.versions(home.act.project_key, "churn")
        assert [version.version for version in versions] == [1, 2]

    def test_a_package_that_is_not_stored_or_not_sound_is_refused(self, home: Home) -> None:
        home.models.create(home.act, name="churn")
        with pytest.raises(NotFound):
            home.models.register(home.act, name="churn", package_digest=NOWHERE)
        changed = put_tree(
            home.artifacts, packaged(0) | {"requirements.txt": b"numpy==1.0\n"}
        ).digest
        with pytest.raises(Corrupt, match="is not the model"):
            home.models.register(home.act, name="churn", package_digest=changed)
        assert home.kinds() == ["ModelCreated"]

    @pytest.mark.parametrize("path", ["MLmodel", "requirements.txt"])
    def test_a_description_without_end_is_not_read(self, home: Home, path: str) -> None:
        home.models.create(home.act, name="churn")
        files = packaged(0) | {path: bytes(MAX_DESCRIPTION_BYTES + 1)}
        # As somebody may send it: the tree says less than what is stored.
        told = [
            TreeEntry(entry.path, entry.digest, min(entry.size_bytes, 100))
            for entry in put_tree(home.artifacts, files).entries
        ]
        stored = home.artifacts.put_bytes(encode_manifest(told))
        with pytest.raises(Invalid, match=f"the package's file {path} is too large") as caught:
            home.models.register(home.act, name="churn", package_digest=stored)
        assert "at most 4,194,304 are read" in caught.value.why
        assert path in caught.value.fix

    def test_a_run_that_is_not_of_the_project_is_refused(self, home: Home) -> None:
        home.models.create(home.act, name="churn")
        with home.database.write() as tx:
            key = insert_project(tx, project_id=ProjectId(new_id("prj")), name="q", now_us=0)
        assert key is not None
        theirs = home.run(msgspec.structs.replace(home.act, project_key=key))
        for run in (theirs, RunId(new_id("run"))):
            with pytest.raises(NotFound, match=f"no run {run} in this project"):
                home.models.register(home.act, name="churn", package_digest=home.package(), run=run)
        with pytest.raises(Invalid, match="is not the id of a run"):
            home.models.register(
                home.act, name="churn", package_digest=home.package(), run=RunId("latest")
            )
        assert home.models.versions(home.act.project_key, "churn") == []

    def test_a_profile_that_is_none_or_not_stored_is_refused(self, home: Home) -> None:
        home.models.create(home.act, name="churn")
        other = home.artifacts.put_bytes(b"a,b\n1,2\n")
        for profile, error in ((NOWHERE, NotFound), (other, Invalid)):
            with pytest.raises(error):
                home.models.register(
                    home.act, name="churn", package_digest=home.package(), profile_digest=profile
                )
        assert home.models.versions(home.act.project_key, "churn") == []

    def test_an_unknown_model_is_named_with_the_nearest(self, home: Home) -> None:
        home.models.create(home.act, name="churn")
        with pytest.raises(NotFound) as caught:
            home.models.register(home.act, name="chrun", package_digest=home.package())
        assert (caught.value.why, caught.value.fix) == ("there are: churn", "did you mean 'churn'?")


class TestFinding:
    def test_a_version_is_found_by_every_kind_of_name(self, home: Home) -> None:
        home.models.create(home.act, name="churn")
        first = home.models.register(home.act, name="churn", package_digest=home.package())
        second = home.models.register(home.act, name="churn", package_digest=home.package(1))
        home.aliases.set_alias(home.act, name="churn", alias="champion", version=1)
        key = home.act.project_key
        for ref in ("churn@v1", "churn@champion", first.id, first.id):
            found = home.models.get(key, ref)
            assert (found.id, found.aliases) == (first.id, ["champion"])
        for ref in ("churn", "churn@latest", "churn@v2", second.id):
            assert home.models.get(key, ref) == second
        assert home.models.model(key, "churn").aliases == {"champion": 1}

    def test_what_is_not_there_is_said_with_what_is(self, home: Home) -> None:
        key = home.act.project_key
        home.models.create(home.act, name="churn")
        with pytest.raises(NotFound) as caught:
            home.models.get(key, "churn")
        assert caught.value.why == "model churn has no version yet"
        home.models.register(home.act, name="churn", package_digest=home.package())
        home.aliases.set_alias(home.act, name="churn", alias="champion", version=1)
        with pytest.raises(NotFound) as caught:
            home.models.get(key, "churn@champoin")
        assert caught.value.what == "no model version churn@champoin"
        assert caught.value.why == "the aliases of model churn: champion (v1)"
        assert caught.value.fix == "did you mean 'champion'?"
        with pytest.raises(NotFound, match="no model version churn@v9"):
            home.models.get(key, "churn@v9")
        with pytest.raises(NotFound, match="mov_7zz"):
            home.models.get(key, "mov_7zz")

    def test_another_project_sees_nothing(self, home: Home) -> None:
        home.models.create(home.act, name="churn")
        version = home.models.register(home.act, name="churn", package_digest=home.package())
        elsewhere = home.act.project_key + 1
        assert home.models.list(elsewhere) == []
        for ref in ("churn", version.id):
            with pytest.raises(NotFound):
                home.models.get(elsewhere, ref)

    def test_a_fetched_package_answers(self, home: Home, tmp_path: Path) -> None:
        home.models.create(home.act, name="churn")
        home.models.register(home.act, name="churn", package_digest=home.package())
        version = home.models.fetch(home.act.project_key, "churn@v1", tmp_path / "fetched")
        model = load_package(tmp_path / "fetched", expected=version.digest)
        assert model.flavor == "onnx"
