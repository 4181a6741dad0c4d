"""Packages are verified on this disk, and models measured before they take traffic."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from fixtures.serving import SIGNATURE, Affine, FolderControl, load_affine
from millwright.artifacts.store import ArtifactStore
from millwright.artifacts.trees import put_tree
from millwright.core.clock import SystemClock
from millwright.core.digest import parse_digest
from millwright.core.errors import Corrupt, Failed, Invalid, Unreachable
from millwright.registry.package import LoadedModel
from millwright.serving.models import (
    KEPT_PACKAGES,
    ModelStore,
    digest_folder,
    make_ready,
    read_example,
)
from millwright.testing.artifacts import MemoryBackend

DIGEST = parse_digest("b3:" + "0" * 64)


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as pool:
        yield pool


@pytest.fixture
def control(tmp_path: Path) -> FolderControl:
    return FolderControl(tmp_path / "control")


@pytest.fixture
def store(tmp_path: Path, control: FolderControl, pool: ThreadPoolExecutor) -> ModelStore:
    return ModelStore(
        tmp_path / "packages",
        fetch=control.fetch_package,
        load=load_affine,
        pool=pool,
        clock=SystemClock(),
    )


def loaded(model: Affine) -> LoadedModel:
    return LoadedModel(
        digest=DIGEST, signature=SIGNATURE, flavor="affine", classes=(), predictor=model
    )


def test_a_fast_model_answers_inline_and_a_slow_one_does_not(pool: ThreadPoolExecutor) -> None:
    example: dict[str, Sequence[float]] = {"a": [1.0, 2.0, 3.0], "b": [0.0, 0.0, 1.0]}
    fast = make_ready(loaded(Affine(1.0)), example=example, pool=pool, clock=SystemClock())
    assert fast.inline_rows > 1
    assert 0 < fast.one_row_s < 0.001
    assert fast.widths == {"prediction": None}
    slow = make_ready(
        loaded(Affine(1.0, delay_s=0.005)), example=example, pool=pool, clock=SystemClock()
    )
    assert slow.inline_rows == 0
    assert slow.one_row_s >= 0.005


def test_a_model_that_fails_on_its_examples_is_not_ready(pool: ThreadPoolExecutor) -> None:
    with pytest.raises(Failed, match=r"its own examples\nValueError"):
        make_ready(
            loaded(Affine(1.0, fails=True)),
            example={"a": [-1.0], "b": [0.0]},
            pool=pool,
            clock=SystemClock(),
        )
    with pytest.raises(Invalid, match="no example rows"):
        make_ready(loaded(Affine(1.0)), example={"a": [], "b": []}, pool=pool, clock=SystemClock())


def test_a_package_without_readable_examples_says_so(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match=r"input_example\.json cannot be read"):
        read_example(tmp_path)
    (tmp_path / "input_example.json").write_text('{"columns": ["a"], "data": []}')
    assert read_example(tmp_path) == {"a": []}
    # As MLflow writes an array.
    (tmp_path / "input_example.json").write_text('{"inputs": [[1.5, 2.0], [3.0, 4.0]]}')
    assert read_example(tmp_path) == {"0": [1.5, 3.0], "1": [2.0, 4.0]}


def test_a_folders_digest_is_that_of_its_artifact_tree(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "a.txt").write_text("a")
    (tmp_path / "in" / "b").write_text("b")
    assert digest_folder(tmp_path) == put_tree(ArtifactStore(MemoryBackend()), tmp_path).digest


def test_a_package_on_disk_is_loaded_without_the_control_plane(
    store: ModelStore, control: FolderControl
) -> None:
    variant = control.add_model(1, base=5.0)
    assert store.load(variant).digest == variant.digest
    with control.down():
        assert store.load(variant).digest == variant.digest
        with pytest.raises(Unreachable):
            store.load(control.add_model(2, base=6.0))


def test_a_package_that_changed_on_disk_is_fetched_again(
    store: ModelStore, control: FolderControl, tmp_path: Path
) -> None:
    variant = control.add_model(1, base=5.0)
    store.load(variant)
    (found,) = (tmp_path / "packages").iterdir()
    (found / "model.json").write_text("{}")
    assert store.load(variant).digest == variant.digest
    assert digest_folder(found) == variant.package_digest


def test_a_package_that_arrives_changed_is_refused(
    store: ModelStore, control: FolderControl, tmp_path: Path
) -> None:
    variant = control.add_model(1, base=5.0)
    (package,) = (control.root / "packages").iterdir()
    (package / "model.json").write_text("{}")
    with pytest.raises(Corrupt, match="is not that"):
        store.load(variant)
    assert list((tmp_path / "packages").iterdir()) == []


def test_old_packages_go_and_used_ones_stay(
    store: ModelStore, control: FolderControl, tmp_path: Path
) -> None:
    variants = [control.add_model(n, base=float(n)) for n in range(KEPT_PACKAGES + 3)]
    for variant in variants:
        store.load(variant)
    store.prune([variants[0].package_digest])
    left = {path.name for path in (tmp_path / "packages").iterdir()}
    assert len(left) == KEPT_PACKAGES + 1
    assert variants[0].package_digest.removeprefix("b3:") in left
