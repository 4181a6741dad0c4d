from __future__ import annotations

import hashlib
import http.client
import os
import time
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest

from fixtures.mlflow_api import INVALID, MISSING, Api
from fixtures.slow_uploads import begin_uploads
from millwright.core.digest import digest_bytes
from millwright.server import streaming
from millwright.server.mlflow.app import STREAM_THREADS
from millwright.server.mlflow.errors import MlflowError
from millwright.server.mlflow.transfer import safe_path

pytestmark = pytest.mark.sockets

FILES = "/api/2.0/mlflow-artifacts/artifacts"
MPU = "/api/2.0/mlflow-artifacts/mpu"


def test_a_file_is_sent_listed_fetched_and_deleted(api: Api) -> None:
    api.put("0/x/artifacts/deep/a.txt", b"one")
    api.put("0/x/artifacts/deep/ä b+%25.txt", b"two")
    api.put("0/x/artifacts/deep/a.txt", b"changed")
    assert api.fetch("0/x/artifacts/deep/a.txt") == b"changed"
    assert api.fetch("0/x/artifacts/deep/%C3%A4%20b%2B%25.txt") == b"two"
    found = api.ok("GET", FILES, {"path": "0/x/artifacts/deep"})
    assert found["files"] == [
        {"path": "a.txt", "is_dir": False, "file_size": 7},
        {"path": "ä b+%.txt", "is_dir": False, "file_size": 3},
    ]
    above = api.ok("GET", FILES, {"path": "0/x/artifacts"})
    assert above["files"] == [{"path": "deep", "is_dir": True}]
    assert {"path": "0", "is_dir": True} in api.ok("GET", FILES)["files"]
    api.ok("DELETE", f"{FILES}/0/x/artifacts/deep/a.txt")
    assert api.no("GET", f"{FILES}/0/x/artifacts/deep/a.txt") == (
        404,
        MISSING,
        "No such artifact: '0/x/artifacts/deep/a.txt'",
    )
    api.ok("DELETE", f"{FILES}/0/x/artifacts")
    assert api.ok("GET", FILES, {"path": "0/x/artifacts"})["files"] == []


def test_a_name_is_a_file_or_a_folder_and_what_is_sent_can_be_downloaded(api: Api) -> None:
    api.put("0/y/artifacts/one", b"file")
    api.put("0/y/artifacts/two/a.txt", b"in a folder")
    for path, words in (
        ("0/y/artifacts/one/a.txt", "'0/y/artifacts/one' cannot be a folder"),
        ("0/y/artifacts/one/deep/a.txt", "'0/y/artifacts/one' cannot be a folder"),
        ("0/y/artifacts/two", "'0/y/artifacts/two' cannot be a file"),
    ):
        status, code, said = api.no("PUT", f"{FILES}/{path}", content=b"other")
        assert (status, code, said.partition(".")[0]) == (400, INVALID, words)
    assert api.ok("GET", FILES, {"path": "0/y/artifacts"})["files"] == [
        {"path": "one", "is_dir": False, "file_size": 4},
        {"path": "two", "is_dir": True},
    ]


def test_what_somebody_sent_is_never_a_page_of_ours(api: Api) -> None:
    api.put("0/page.html", b"<script>")
    answer = api.send("GET", f"{FILES}/0/page.html")
    assert answer.headers["content-type"] == "text/plain"
    assert answer.headers["content-disposition"].startswith("attachment")
    assert answer.headers["content-length"] == "8"


@pytest.mark.parametrize(
    "path",
    [
        "../up.txt",
        "0/../../up.txt",
        "%2e%2e/up.txt",
        "0/%2e%2e%2fup.txt",
        "0/%252e%252e/up.txt",
        "0/..%5cup.txt",
        "0/%5cup.txt",
        "%2fetc%2fpasswd",
        "//etc/passwd",
        "0/%00.txt",
        "0/./x",
        "c:%5cx",
    ],
)
def test_a_path_that_leads_elsewhere_is_refused(api: Api, path: str) -> None:
    place = urlsplit(str(api.http.base_url))
    assert place.hostname is not None
    for method, address in (
        ("PUT", f"{FILES}/{path}"),
        ("GET", f"{FILES}/{path}"),
        ("DELETE", f"{FILES}/{path}"),
        ("GET", f"/api/2.0/mlflow-artifacts/presigned/{path}"),
        ("GET", f"{FILES}?path={path}"),
    ):
        # By hand: other clients put such paths right before they send them.
        connection = http.client.HTTPConnection(place.hostname, place.port or 80)
        connection.request(method, address, body=b"x" if method == "PUT" else None)
        answer = connection.getresponse()
        said = answer.read().decode()
        connection.close()
        assert (answer.status, INVALID in said) == (400, True), (method, address, said)
        assert '"Invalid path"' in said


@pytest.mark.parametrize("path", ["a/../b", "..", "/a", "a\\b", "%2e%2e/a", "a/%252e%252e/b", ""])
def test_a_path_is_safe_however_often_it_is_decoded(path: str) -> None:
    with pytest.raises(MlflowError, match="Invalid path"):
        safe_path(path)


def test_a_good_path_stays_as_it_is() -> None:
    assert safe_path("0/run/artifacts/100% sure.txt") == "0/run/artifacts/100% sure.txt"


def test_of_half_an_upload_nothing_is_stored(api: Api) -> None:
    place = urlsplit(str(api.http.base_url))
    assert place.hostname is not None
    before = list(api.home.artifacts_folder.rglob("*"))
    connection = http.client.HTTPConnection(place.hostname, place.port or 80)
    connection.putrequest("PUT", f"{FILES}/0/half.bin")
    connection.putheader("Content-Length", "1000000")
    connection.endheaders()
    connection.send(os.urandom(500_000))
    connection.close()
    assert api.no("GET", f"{FILES}/0/half.bin")[:2] == (404, MISSING)
    # The next upload goes through, and nothing of the first has come to light.
    api.put("0/whole.bin", b"whole")
    assert api.fetch("0/whole.bin") == b"whole"
    objects = [path for path in api.home.artifacts_folder.rglob("objects/**/*") if path.is_file()]
    assert all(path.stat().st_size < 500_000 for path in objects), before


def test_uploads_that_wait_keep_nobody_else_waiting(api: Api) -> None:
    api.put("0/first.bin", b"first")
    begun = begin_uploads(str(api.http.base_url), f"{FILES}/0/slow.bin", STREAM_THREADS)
    try:
        until = time.monotonic() + 10
        while len(list(api.home.artifacts_folder.rglob("*.part"))) < STREAM_THREADS:
            assert time.monotonic() < until
        assert api.fetch("0/first.bin") == b"first"
        api.put("0/second.bin", b"second")
        assert api.fetch("0/second.bin") == b"second"
    finally:
        for raw in begun:
            raw.close()


def test_an_upload_that_sends_nothing_is_given_up(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streaming, "SILENCE_S", 0.1)
    (raw,) = begin_uploads(str(api.http.base_url), f"{FILES}/0/idle.bin", 1)
    with raw:
        answer = raw.recv(1 << 16)
    assert answer.startswith(b"HTTP/1.1 503 ")
    assert b"TEMPORARILY_UNAVAILABLE" in answer
    assert api.no("GET", f"{FILES}/0/idle.bin")[:2] == (404, MISSING)


def test_a_file_is_sent_in_parts(api: Api) -> None:
    parts = [os.urandom(300_000), os.urandom(300_000), b"end"]
    begun = api.ok(
        "POST", f"{MPU}/create/0/x/artifacts/deep", {"path": "/tmp/big.bin", "num_parts": 3}
    )
    sent: list[dict[str, object]] = []
    for one, content in zip(begun["credentials"], parts, strict=True):
        answer = api.http.put(one["url"], content=content)
        assert answer.status_code == 200
        sent.append(
            {"part_number": one["part_number"], "etag": answer.headers["etag"], "url": one["url"]}
        )
    given = {"path": "/tmp/big.bin", "upload_id": begun["upload_id"], "parts": sent[::-1]}
    api.ok("POST", f"{MPU}/complete/0/x/artifacts/deep", given)
    stored = api.fetch("0/x/artifacts/deep/big.bin")
    assert hashlib.sha256(stored).digest() == hashlib.sha256(b"".join(parts)).digest()
    for wrong in (sent[1:], [*sent, {"part_number": 4, "etag": '"nothing"'}]):
        said = api.no("POST", f"{MPU}/complete/0/other", given | {"parts": wrong})
        assert said[:2] == (400, INVALID)
    api.ok("POST", f"{MPU}/abort/0/x", {"path": "a", "upload_id": begun["upload_id"]})
    assert api.no("GET", f"{FILES}/0/other/big.bin")[:2] == (404, MISSING)


def test_as_many_parts_as_there_may_be_can_be_told(api: Api) -> None:
    begun = api.ok("POST", f"{MPU}/create/0", {"path": "x.bin", "num_parts": 10_000})
    etag = f'"{digest_bytes(b"not sent")}"'
    parts = [
        {"part_number": one["part_number"], "etag": etag, "url": one["url"].ljust(800, "/")}
        for one in begun["credentials"]
    ]
    told = {"path": "x.bin", "upload_id": begun["upload_id"], "parts": parts}
    status, code, words = api.no("POST", f"{MPU}/complete/0", told)
    assert (status, code) == (400, INVALID)
    assert words.startswith("A part of the upload is not there")


def test_the_address_of_a_part_is_signed(api: Api) -> None:
    begun = api.ok("POST", f"{MPU}/create/0/x", {"path": "big.bin", "num_parts": 1})
    url = begun["credentials"][0]["url"]
    for forged in (url[:-4] + "0000", url.replace("/1/", "/2/"), f"{url}/more"):
        answer = api.http.put(forged, content=b"x")
        assert (answer.status_code, answer.json()["error_code"]) == (403, "PERMISSION_DENIED")
    for count in (0, 10_001):
        said = api.no("POST", f"{MPU}/create/0/x", {"path": "big.bin", "num_parts": count})
        assert said[:2] == (400, INVALID)
    assert api.no("POST", f"{MPU}/create/0/x", {"num_parts": 1})[:2] == (400, INVALID)
    assert api.no("POST", f"{MPU}/abort/0/x", {})[:2] == (400, INVALID)


def test_a_big_file_goes_through_in_pieces(api: Api) -> None:
    piece = os.urandom(1 << 20)

    def pieces() -> Iterator[bytes]:
        for _ in range(24):
            yield piece

    answer = api.send("PUT", f"{FILES}/0/big.bin", content=pieces())
    assert answer.status_code == 200
    wanted = hashlib.sha256(piece * 24).digest()
    assert hashlib.sha256(api.fetch("0/big.bin")).digest() == wanted


def test_this_server_hands_files_out_itself(api: Api) -> None:
    status, code, _ = api.no("GET", "/api/2.0/mlflow-artifacts/presigned/0/x.txt")
    assert (status, code) == (501, "NOT_IMPLEMENTED")
