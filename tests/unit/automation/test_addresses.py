from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from millwright.automation.addresses import check_origin, is_public, parse_target
from millwright.core.errors import Invalid

INSIDE = [
    "127.0.0.1",
    "10.1.2.3",
    "172.16.0.1",
    "192.168.1.1",
    "169.254.169.254",
    "100.64.0.1",
    "0.0.0.0",
    "224.0.0.1",
    "239.255.255.250",
    "240.0.0.1",
    "255.255.255.255",
    "198.18.0.1",
    "::1",
    "::",
    "::7f00:1",
    "fe80::1",
    "fec0::1",
    "fc00::1",
    "fd12::1",
    "ff02::1",
    "::ffff:127.0.0.1",
    "::ffff:169.254.169.254",
    "64:ff9b::7f00:1",
    "64:ff9b::a00:1",
    "64:ff9b:1::a00:1",
    "2002:7f00:1::",
    "2002:a9fe:a9fe::1",
    "2001::1",
    "2001:db8::1",
    "100::1",
]
OUTSIDE = ["8.8.8.8", "1.1.1.1", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"]


@pytest.mark.parametrize("text", INSIDE)
def test_no_way_leads_inside(text: str) -> None:
    assert not is_public(ip_address(text))


@pytest.mark.parametrize("text", OUTSIDE)
def test_the_open_network_is_public(text: str) -> None:
    assert is_public(ip_address(text))


@given(st.ip_addresses(v=4))
def test_an_address_wrapped_in_another_is_as_public_as_itself(inner: IPv4Address) -> None:
    number = int(inner)
    mapped = IPv6Address(0xFFFF << 32 | number)
    sixtofour = IPv6Address(0x2002 << 112 | number << 80)
    nat64 = IPv6Address(0x64FF9B << 96 | number)
    assert {is_public(one) for one in (mapped, sixtofour, nat64)} == {is_public(inner)}


@given(st.ip_addresses(v=6))
def test_an_address_that_reaches_one_machine_or_link_is_never_public(one: IPv6Address) -> None:
    if one.is_loopback or one.is_link_local or one.is_private or one.is_multicast:
        assert not is_public(one) or one.ipv4_mapped is not None


def test_a_url_is_taken_apart() -> None:
    target = parse_target("https://Hooks.Example.com:8443/a/b?x=%20")
    assert (target.scheme, target.host, target.port, target.path, target.origin) == (
        "https",
        "hooks.example.com",
        8443,
        "/a/b?x=%20",
        "https://hooks.example.com:8443",
    )
    assert parse_target("https://example.com").authority == "example.com"
    assert parse_target("https://[2606:4700::1111]:9/").authority == "[2606:4700::1111]:9"


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com/x",
        "ftp://example.com/x",
        "file:///etc/passwd",
        "https://",
        "https:///x",
        "example.com",
        "https://user:pass@example.com/",
        "https://user@example.com/",
        "https://example.com:99999/",
        "https://example.com:0/",
        "https://example.com/a b",
        "https://example.com/a\r\nX-Evil: 1",
        "https://example.com\\@127.0.0.1/",
        "https://[::1/",
        "https://[fe80::1%25eth0]/",
        "https://127.0.0.1/",
        "https://169.254.169.254/latest/meta-data",
        "https://[::ffff:10.0.0.1]/",
        "https://exämple.com/",
        "https://example.com/" + "x" * 2000,
    ],
)
def test_what_may_not_be_given_is_refused(url: str) -> None:
    with pytest.raises(Invalid):
        parse_target(url)


def test_an_error_repeats_no_secret_of_the_address() -> None:
    for url in (
        "http://example.com/s3cret",
        "https://ada:s3cret@example.com/",
        "https://10.0.0.1/s3cret",
        "https://example.com/s3cret here",
    ):
        with pytest.raises(Invalid) as raised:
            parse_target(url)
        assert "s3cret" not in str(raised.value)


def test_a_listed_origin_may_lie_inside_and_be_plain() -> None:
    allowed = [check_origin("http://127.0.0.1:9000")]
    assert parse_target("http://127.0.0.1:9000/x", allowed).is_allowed
    for other in ("http://127.0.0.1:9001/x", "https://127.0.0.1:9000/x", "http://localhost:9000/"):
        with pytest.raises(Invalid):
            parse_target(other, allowed)


def test_an_origin_of_the_settings_is_checked() -> None:
    assert check_origin("HTTP://Hooks.internal:80") == "http://hooks.internal"
    for wrong in ("http://127.0.0.1:9000/", "http://127.0.0.1/x", "127.0.0.1:9000", "http://"):
        with pytest.raises(Invalid):
            check_origin(wrong)
