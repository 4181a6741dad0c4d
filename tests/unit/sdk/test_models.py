from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from fixtures.boosters import numbers
from fixtures.pickled import pickled_package
from millwright.core.errors import NotFound, Refused
from millwright.doors.door import Door
from millwright.registry.package import Package, write_package
from millwright.sdk.models import load_from, load_model
from millwright.workspace.config import Config, load_config

pytestmark = pytest.mark.sockets

ROWS = {"a": np.array([0.0, 1.0, 2.0, 3.0] * 50), "b": np.array([1.0, 0.0] * 100)}
LABELS = (ROWS["a"] > 1).astype(np.int64)


@pytest.fixture(scope="module")
def packaged(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Package]:
    folder = tmp_path_factory.mktemp("package")
    model = LogisticRegression().fit(np.stack(list(ROWS.values()), axis=1), LABELS)
    return folder, write_package(model, example=ROWS, folder=folder, now_us=0)


def test_a_registered_model_answers(
    config: Config, door: Door, packaged: tuple[Path, Package]
) -> None:
    folder, package = packaged
    door.models.create(name="churn")
    digest = door.artifacts.put_folder(folder)
    door.models.register(name="churn", package_digest=digest)
    model = load_from(config, "churn@v1")
    assert model.digest == package.digest
    # The folder it was fetched to is gone by now.
    assert model.predict(ROWS)["prediction"].tolist() == LABELS.tolist()
    assert load_from(config, "churn@latest", flavor="sklearn").flavor == "sklearn"
    with pytest.raises(NotFound, match="no model nothing"):
        load_from(config, "nothing@champion")


def test_a_pickle_is_loaded_while_that_is_allowed_of_it(
    config: Config, door: Door, tmp_path: Path
) -> None:
    door.models.create(name="old")
    digest = door.artifacts.put_folder(pickled_package(tmp_path / "old"))
    version = door.models.register(name="old", package_digest=digest)
    with pytest.raises(Refused) as caught:
        load_from(config, "old@v1")
    assert "mill model allow-pickle REF --reason WHY" in caught.value.fix
    door.models.allow_pickle(ref=version.id, reason="ours, of 2019")
    rows = {name: values.astype(float) for name, values in numbers().items()}
    assert set(load_from(config, "old@v1").predict(rows)["prediction"]) == {0, 1}
    door.models.refuse_pickle(ref=version.id)
    with pytest.raises(Refused, match="is a pickle"):
        load_from(config, "old@v1")


def test_a_folder_is_loaded_as_it_is(
    packaged: tuple[Path, Package], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, package = packaged
    assert load_model(folder).digest == package.digest
    assert load_model(str(folder)).digest == package.digest
    monkeypatch.chdir(folder.parent)
    assert load_model(f"./{folder.name}").digest == package.digest
    with pytest.raises(NotFound, match="has no MLmodel"):
        load_model(folder / "elsewhere")


def test_a_name_is_a_reference_even_where_a_folder_is_called_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "churn").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MILLWRIGHT_HOME", str(load_config(environment={}, folder=tmp_path).home))
    monkeypatch.delenv("MILLWRIGHT_URL", raising=False)
    with pytest.raises(NotFound, match="there is no home"):
        load_model("churn")
