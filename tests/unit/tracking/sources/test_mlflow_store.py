from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

import pytest

from fixtures.foreign import mlflow_folder, mlflow_store
from millwright.core.errors import Invalid, NotFound
from millwright.tracking.sources.mlflow_store import open_mlflow


@pytest.mark.parametrize("scheme", ["sqlite", "sqlite+pysqlite"])
def test_a_database_is_opened_by_its_tracking_uri(tmp_path: Path, scheme: str) -> None:
    path = mlflow_store(tmp_path / "a store")
    source = open_mlflow(f"{scheme}:///{quote(str(path))}")
    assert source.place == f"sqlite:///{path}"
    assert source.kind == "mlflow"
    source.close()


def test_a_relative_path_is_looked_for_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mlflow_store(tmp_path)
    monkeypatch.chdir(tmp_path)
    source = open_mlflow("sqlite:///mlflow.db")
    assert source.place == f"sqlite:///{tmp_path}/mlflow.db"
    source.close()
    with pytest.raises(NotFound):
        open_mlflow("sqlite:///other.db")


@pytest.mark.parametrize("form", ["{}", "file://{}", "file:{}"])
def test_a_folder_is_opened_by_its_path(tmp_path: Path, form: str) -> None:
    folder = mlflow_folder(tmp_path / "a store")
    source = open_mlflow(form.format(folder))
    assert source.place == f"file://{folder}"
    source.close()
    with pytest.raises(NotFound):
        open_mlflow(form.format(tmp_path / "missing"))


def test_a_server_is_opened_without_its_password_in_sight() -> None:
    source = open_mlflow("http://ada:secret@127.0.0.1:5000/prefix/")
    assert source.place == "http://127.0.0.1:5000/prefix"
    source.close()


@pytest.mark.parametrize(
    "address",
    [
        "http://[bad",
        "http://u:pw@h:port",
        "http://u:p/w@h",
        "http://u:pw@h\x01",
        "https://u:pw@h:99999",
    ],
)
def test_an_address_that_cannot_be_gone_to_is_refused_without_its_password(address: str) -> None:
    with pytest.raises(Invalid, match="is no address") as refused:
        open_mlflow(address)
    assert "http://127.0.0.1:5000" in refused.value.fix
    assert "pw" not in f"{refused.value.what} {refused.value.why}"
    assert "p/w" not in f"{refused.value.what} {refused.value.why}"


def test_no_password_of_another_store_is_shown() -> None:
    with pytest.raises(Invalid, match=r"'postgresql://host/db' is no MLflow store"):
        open_mlflow("postgresql://me:pw@host/db")


@pytest.mark.parametrize(
    "address", ["", "postgresql://host/db", "sqlite://", "sqlite:///", "file://host/x", "s3://b/x"]
)
def test_another_address_is_refused_with_what_to_do(address: str) -> None:
    with pytest.raises(Invalid, match="no MLflow store that can be read") as refused:
        open_mlflow(address)
    assert "mlflow server" in refused.value.fix
