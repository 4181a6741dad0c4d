from __future__ import annotations

import ssl
import threading
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from fixtures.receivers import dripping, receiving
from millwright.automation import posting
from millwright.automation.addresses import parse_target
from millwright.automation.posting import MAX_ANSWER_BYTES, Answer, Poster
from millwright.core.errors import Invalid, Unreachable

pytestmark = pytest.mark.sockets


def resolving(*addresses: str) -> Poster:
    """Return a poster for which every name means these addresses."""

    def resolve(_host: str, _port: int) -> Sequence[str]:
        return addresses

    return Poster(resolve=resolve)


def certificate(folder: Path, name: str) -> tuple[Path, Path]:
    """Write a key and a certificate of its own for a name; return both files."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    files = folder / "cert.pem", folder / "key.pem"
    files[0].write_bytes(made.public_bytes(serialization.Encoding.PEM))
    files[1].write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return files


def test_a_body_is_posted_with_its_headers() -> None:
    with receiving() as receiver:
        target = parse_target(receiver.url, [receiver.origin])
        answer = Poster().post(target, b'{"a":1}', {"X-One": "1"})
        assert answer == Answer(200, b"thanks")
        request = receiver.received[0]
        assert (request.path, request.body) == ("/hooks/s3cret?x=1", b'{"a":1}')
        assert request.headers["x-one"] == "1"
        assert request.headers["host"] == f"127.0.0.1:{receiver.port}"


@pytest.mark.parametrize(
    "address", ["127.0.0.1", "169.254.169.254", "::1", "::ffff:127.0.0.1", "fe80::1%eth0"]
)
def test_a_name_that_leads_inside_is_not_connected_to(address: str) -> None:
    with receiving() as receiver:
        target = parse_target(f"https://hooks.example.com:{receiver.port}/")
        for addresses in ([address], ["8.8.8.8", address]):
            with pytest.raises(Invalid, match=r"hooks\.example\.com.* would lead to"):
                resolving(*addresses).post(target, b"", {})
        assert receiver.received == []


def test_a_short_spelling_of_this_machine_is_seen_through() -> None:
    for host in ("127.1", "0x7f000001", "2130706433", "localhost"):
        target = parse_target(f"https://{host}/")
        with pytest.raises((Invalid, Unreachable)):
            Poster().post(target, b"", {})


def test_what_is_connected_to_is_the_address_that_was_checked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # The name changes its meaning after it was looked up: nobody looks again.
    looked: list[str] = []
    connected: list[tuple[str, int]] = []

    def resolve(host: str, _port: int) -> Sequence[str]:
        looked.append(host)
        return ["8.8.8.8"] if len(looked) == 1 else ["127.0.0.1"]

    def connect(address: tuple[str, int], timeout: float) -> object:
        connected.append(address)
        raise ConnectionRefusedError("refused")

    monkeypatch.setattr(posting.socket, "create_connection", connect)
    with pytest.raises(Unreachable):
        Poster(resolve=resolve).post(parse_target("https://hooks.example.com/"), b"", {})
    assert (looked, connected) == (["hooks.example.com"], [("8.8.8.8", 443)])


@pytest.mark.parametrize(
    ("said", "pause_s"),
    [("7", 7.0), (" 60 ", 60.0), ("-1", 0.0), ("soon", 0.0), ("\u00b2", 0.0), ("9" * 400, None)],
)
def test_how_long_a_receiver_wants_to_be_left_alone(said: str, pause_s: float | None) -> None:
    with receiving() as receiver:
        receiver.answers, receiver.headers = [429], {"Retry-After": said}
        target = parse_target(receiver.url, [receiver.origin])
        answer = Poster().post(target, b"{}", {})
    assert answer.status == 429
    assert answer.retry_after_s == (float("inf") if pause_s is None else pause_s)


def test_redirects_are_not_followed() -> None:
    with receiving() as receiver:
        receiver.answers = [302]
        receiver.headers = {"Location": f"{receiver.origin}/elsewhere"}
        target = parse_target(receiver.url, [receiver.origin])
        assert Poster().post(target, b"", {}).status == 302
        assert len(receiver.received) == 1


def test_no_proxy_of_the_environment_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    with receiving() as receiver:
        target = parse_target(receiver.url, [receiver.origin])
        assert Poster().post(target, b"", {}).status == 200


def test_little_of_a_long_answer_is_read() -> None:
    with receiving() as receiver:
        receiver.body = b"x" * 10_000_000
        target = parse_target(receiver.url, [receiver.origin])
        assert len(Poster().post(target, b"", {}).body) == MAX_ANSWER_BYTES


def test_a_receiver_that_never_ends_is_cut_off() -> None:
    with dripping() as port:
        target = parse_target(f"http://127.0.0.1:{port}/", [f"http://127.0.0.1:{port}"])
        began = time.monotonic()
        with pytest.raises(Unreachable, match=r"it took more than 0\.5 s"):
            Poster(total_s=0.5).post(target, b"", {})
        assert time.monotonic() - began < 5
    assert not any(isinstance(one, threading.Timer) for one in threading.enumerate())


def test_nobody_there_is_unreachable_without_the_path() -> None:
    target = parse_target("http://127.0.0.1:1/s3cret", ["http://127.0.0.1:1"])
    with pytest.raises(Unreachable) as raised:
        Poster().post(target, b"", {})
    assert "s3cret" not in str(raised.value)


def test_a_name_nobody_knows_is_unreachable() -> None:
    def resolve(_host: str, _port: int) -> Sequence[str]:
        raise OSError("no such name")

    with pytest.raises(Unreachable, match="no answer"):
        Poster(resolve=resolve).post(parse_target("https://hooks.example.com/"), b"", {})


def test_tls_is_checked_against_the_name(tmp_path: Path) -> None:
    cert, key = certificate(tmp_path, "hooks.internal")
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serving.load_cert_chain(cert, key)
    trusting = ssl.create_default_context(cafile=str(cert))

    def resolve(_host: str, _port: int) -> Sequence[str]:
        return [str(ip_address("127.0.0.1"))]

    with receiving(context=serving) as receiver:
        ours = f"https://hooks.internal:{receiver.port}"
        poster = Poster(resolve=resolve, context=trusting)
        assert poster.post(parse_target(f"{ours}/x", [ours]), b"{}", {}).status == 200
        other = f"https://other.internal:{receiver.port}"
        with pytest.raises(Unreachable, match="no answer"):
            poster.post(parse_target(f"{other}/x", [other]), b"{}", {})
        with pytest.raises(Unreachable, match="no answer"):
            Poster(resolve=resolve).post(parse_target(f"{ours}/x", [ours]), b"{}", {})
        assert len(receiver.received) == 1
