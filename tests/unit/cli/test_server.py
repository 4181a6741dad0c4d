from __future__ import annotations

import json
import urllib.request
from pathlib import Path

import pytest

from fixtures.command_line import Mill
from fixtures.mlflow_server import mill_server
from millwright.cli.processes import LOOPBACK, listen
from millwright.cli.server import parse_artifacts, place_artifacts
from millwright.core.errors import Conflict, Invalid, Unreachable


@pytest.mark.sockets
def test_an_empty_folder_becomes_a_server(tmp_path: Path) -> None:
    home, bytes_ = tmp_path / "home", tmp_path / "elsewhere" / "bytes"
    with mill_server(home, ["--open", "--artifacts", bytes_.as_uri()]) as server:
        put = urllib.request.Request(
            f"{server.address}/api/2.0/mlflow-artifacts/artifacts/0/x.txt", b"kept", method="PUT"
        )
        urllib.request.urlopen(put).close()
        assert any(path.is_file() for path in bytes_.rglob("*"))
        first = f"{server.address}/api/2.0/mlflow/experiments/search"
        body = json.dumps({"max_results": 5}).encode()
        with urllib.request.urlopen(first, body) as answer:
            found = json.load(answer)
        assert [(one["experiment_id"], one["name"]) for one in found["experiments"]] == [
            ("0", "Default")
        ]
        server.stop()
        # The same words again: the home that is there.
        server.start()
        read = f"{server.address}/api/2.0/mlflow-artifacts/artifacts/0/x.txt"
        with urllib.request.urlopen(read) as answer:
            assert answer.read() == b"kept"


@pytest.mark.parametrize(
    ("given", "path"),
    [("/srv/bytes", "/srv/bytes"), ("file:///srv/two%20words", "/srv/two words")],
)
def test_artifacts_lie_in_a_folder(given: str, path: str) -> None:
    assert parse_artifacts(given) == Path(path)


@pytest.mark.parametrize("given", ["s3://bucket/x", "gs://b", "file://other.host/x", "http://x/y"])
def test_a_store_elsewhere_is_refused_for_now(given: str, nowhere: Mill) -> None:
    with pytest.raises(Invalid, match="cannot be kept at"):
        parse_artifacts(given)
    ended = nowhere("server", "--home", "new", "--artifacts", given)
    assert ended.code == 2
    assert f"artifacts cannot be kept at {given} yet" in ended.err
    assert not (nowhere.folder / "new").exists()


def test_where_artifacts_lie_is_settled_once(tmp_path: Path) -> None:
    home = tmp_path / "home"
    place_artifacts(home, tmp_path / "a", is_new=True)
    place_artifacts(home, tmp_path / "a", is_new=False)
    assert (home / "artifacts").resolve() == tmp_path / "a"
    with pytest.raises(Conflict, match="keeps its artifacts in"):
        place_artifacts(home, tmp_path / "b", is_new=True)


def test_no_home_is_made_where_none_was_named(nowhere: Mill) -> None:
    ended = nowhere("server", "--open")
    assert ended.code == 3
    assert "fix: make one: mill init" in ended.err


def test_no_home_is_made_among_other_files(nowhere: Mill) -> None:
    nowhere.write("train.py", "x")
    assert nowhere("server", "--open", "--home", str(nowhere.folder)).code == 3
    assert [path.name for path in nowhere.folder.iterdir()] == ["train.py"]


def test_it_is_not_open_to_other_machines(nowhere: Mill) -> None:
    ended = nowhere("server", "--open", "--host", "0.0.0.0", "--home", "new")
    assert ended.code == 2
    assert not (nowhere.folder / "new").exists()


@pytest.mark.parametrize(
    "words", ["server --port", "up --port", "up --serving-port", "serve --port"]
)
@pytest.mark.parametrize("port", ["99999", "-1"])
def test_a_port_that_cannot_be_is_refused(mill: Mill, words: str, port: str) -> None:
    ended = mill(*words.split(), port)
    assert (ended.code, words.split()[1] in ended.err) == (2, True)


@pytest.mark.sockets
def test_above_the_last_port_none_is_tried() -> None:
    listener = listen(LOOPBACK, 65_535)
    try:
        with pytest.raises(Unreachable, match="no port from 65535 to 65535 is free"):
            listen(LOOPBACK, 65_535)
    finally:
        listener.close()
