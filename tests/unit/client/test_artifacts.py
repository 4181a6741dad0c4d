"""Files and folders through a real server."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from fixtures.example_host import ExampleHost
from millwright.artifacts.store import key_of
from millwright.artifacts.trees import put_tree
from millwright.client.artifacts import RemoteArtifacts
from millwright.client.services import Client
from millwright.client.transport import Transport
from millwright.core.digest import digest_bytes
from millwright.core.errors import Conflict, Corrupt, Denied, Failed, Invalid, NotFound
from millwright.testing.clock import FakeClock

pytestmark = pytest.mark.sockets


@pytest.fixture(scope="module")
def client(address: str, admin_token: str) -> Iterator[Client]:
    with Client(address, admin_token) as client:
        yield client


def test_a_file_there_and_back(client: Client, host: ExampleHost, tmp_path: Path) -> None:
    data = random.Random(7).randbytes(20 << 20)
    (tmp_path / "big").write_bytes(data)
    digest = client.artifacts.put_file(tmp_path / "big")
    assert digest == digest_bytes(data) == client.artifacts.put_file(tmp_path / "big")
    assert host.artifacts.has(digest)
    (tmp_path / "back").write_bytes(b"old")
    client.artifacts.fetch(digest, tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == data


def test_a_folder_there_and_back(client: Client, host: ExampleHost, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    (folder / "sub").mkdir(parents=True)
    (folder / "sub" / "ü").write_bytes(b"one")
    (folder / "empty").write_bytes(b"")
    digest = client.artifacts.put_folder(folder)
    assert digest == put_tree(host.artifacts, folder).digest
    client.artifacts.fetch_folder(digest, tmp_path / "back")
    assert (tmp_path / "back" / "sub" / "ü").read_bytes() == b"one"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["back", "folder"]
    with pytest.raises(Conflict, match="in use"):
        client.artifacts.fetch_folder(digest, tmp_path / "back")


def test_what_is_not_there(client: Client, tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        client.artifacts.fetch(digest_bytes(b"never"), tmp_path / "x")
    with pytest.raises(NotFound):
        client.artifacts.put_file(tmp_path / "x")
    with pytest.raises(Invalid):
        client.artifacts.put_file(tmp_path)
    with pytest.raises(Failed, match="cannot write"):
        client.artifacts.fetch(client.artifacts.put_folder(tmp_path), tmp_path / "no" / "x")
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_object_leaves_the_target_as_it_was(
    client: Client, host: ExampleHost, tmp_path: Path
) -> None:
    digest = host.artifacts.put_bytes(b"good" * 1000)
    file = Path(host.artifacts.backend.place(key_of(digest)))
    file.chmod(0o600)
    file.write_bytes(b"evil" * 1000)
    (tmp_path / "x").write_bytes(b"old")
    with pytest.raises(Corrupt, match="is damaged in"):
        client.artifacts.fetch(digest, tmp_path / "x")
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("x", b"old")]


def test_a_server_that_sends_other_bytes_is_found_out(tmp_path: Path) -> None:
    def lie(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, headers={"X-Millwright-Version": "1"}, content=b"other")

    transport = Transport("http://x", clock=FakeClock(), wire=httpx.MockTransport(lie))
    artifacts = RemoteArtifacts(transport)
    with pytest.raises(Corrupt, match="did not come over whole"):
        artifacts.fetch(digest_bytes(b"mine"), tmp_path / "x")
    with pytest.raises(Corrupt):
        artifacts.fetch_folder(digest_bytes(b"mine"), tmp_path / "y")
    transport.close()
    assert list(tmp_path.iterdir()) == []


def test_a_refused_upload_says_why(host: ExampleHost, address: str, tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"." * (5 << 20))
    with Client(address, host.token("ada", ["data.read"])) as reader, pytest.raises(Denied):
        reader.artifacts.put_file(tmp_path / "x")
