from __future__ import annotations

import pytest

from fixtures.registries import Home, packaged
from millwright.core.errors import NotFound
from millwright.records.runs import ArtifactFile
from millwright.registry.sources import Source, Sources
from millwright.tracking.files import Files


@pytest.fixture
def files(home: Home) -> Files:
    return Files(home.database, home.artifacts, home.journal, home.clock)


@pytest.fixture
def sources(home: Home, files: Files) -> Sources:
    home.models.create(home.act, name="churn")
    return Sources(home.database, home.artifacts, home.models, files)


def laid(home: Home, files: Files, folder: str, content: dict[str, bytes]) -> Source:
    files.put_below(
        home.act,
        folder,
        [
            ArtifactFile(path=path, digest=home.artifacts.put_bytes(data), size_bytes=len(data))
            for path, data in content.items()
        ],
    )
    return Source(address=f"mlflow-artifacts:/{folder}", folder=folder, tags={"a": "1"})


def test_a_package_among_artifacts_is_the_model_it_says(
    home: Home, files: Files, sources: Sources
) -> None:
    source = laid(home, files, "1/run/artifacts/model", packaged(0))
    version = sources.register(home.act, "churn", source)
    direct = home.models.package(home.package(0))
    assert (version.digest, version.flavors) == (direct.digest, direct.flavors)
    assert (version.source, version.tags) == (source.address, {"a": "1"})
    again = sources.register(home.act, "churn", source)
    assert (again.version, again.digest) == (2, version.digest)
    # What is registered stays, whatever happens to the names.
    files.delete(home.act, "1/run/artifacts/model")
    assert home.models.package(version.package_digest).digest == version.digest


def test_a_folder_of_another_kind_is_known_by_all_its_bytes(
    home: Home, files: Files, sources: Sources
) -> None:
    one = sources.register(home.act, "churn", laid(home, files, "a", {"w.bin": b"1"}))
    two = sources.register(home.act, "churn", laid(home, files, "b", {"w.bin": b"2"}))
    assert (one.flavors, one.digest == two.digest) == ([], False)


def test_what_lies_elsewhere_is_registered_by_what_is_said_of_it(
    home: Home, sources: Sources
) -> None:
    prompt = Source(address="prompt-template", folder=None, tags={"text": "hello"})
    one = sources.register(home.act, "churn", prompt)
    other = sources.register(
        home.act, "churn", Source(address="prompt-template", folder=None, tags={"text": "bye"})
    )
    assert one.package_digest == other.package_digest
    assert one.digest != other.digest


def test_a_folder_without_files_or_an_unknown_model_is_not_found(
    home: Home, files: Files, sources: Sources
) -> None:
    with pytest.raises(NotFound, match="no artifacts lie in"):
        sources.register(home.act, "churn", Source(address="x", folder="nowhere"))
    with pytest.raises(NotFound, match="no model"):
        sources.register(home.act, "chunr", laid(home, files, "a", {"w": b"1"}))
