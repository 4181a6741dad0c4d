"""An event's two halves as bytes: the leaf that is hashed for ever, the detail that can be erased.

A leaf holds ids, kinds, digests and a salted commitment to the detail: no figure, name or free
text, since nothing can ever be taken out of it. What would let such text in is refused here.
The commitment is HMAC-SHA256 keyed by a random salt: with the salt it binds, and once salt and
body are erased nobody can find out the body by guessing.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

import msgspec
from msgspec import Struct

from millwright.core import canonical
from millwright.core.errors import Corrupt, Invalid
from millwright.core.ids import ActorId, EventId, ProjectId, RequestId
from millwright.records.events import Act, Detail, Event, JsonValue, Subject

LEAF_FORMAT = 1
MAX_LEAF_BYTES = 65_535  # tlog-tiles' entry bundles count an entry's bytes in 16 bits.
MAX_DETAIL_BYTES = 1 << 20
MAX_TEXT_CHARS = 1000
SALT_BYTES = 32

Fields: TypeAlias = "dict[str, JsonValue]"
Upcast: TypeAlias = Callable[[Fields], Fields]
"""Turns the fields of a detail into those of the next version of its kind."""

UPCASTS: Mapping[tuple[str, int], Upcast] = {}
"""(kind, old version) -> how it is read as the next version."""

_ID = re.compile(r"[a-z]{3}_[0-7][0-9a-hjkmnp-tv-z]{25}")
_DIGEST = re.compile(r"[a-z0-9]{2,16}:[0-9a-f]{64}")
_KIND = re.compile(r"[a-z][a-z0-9_]{0,39}")
_DETAIL_ENCODER = msgspec.json.Encoder(order="sorted")


class Leaf(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a leaf's canonical JSON holds."""

    v: int
    id: EventId
    kind: str
    kv: int
    project: ProjectId
    actor: ActorId
    time: int
    """Microseconds since 1970 UTC, by the clock of whoever wrote it."""
    subjects: list[Subject]
    commit: str
    cause: EventId | None = None
    request: RequestId | None = None


_LEAF_DECODER = msgspec.json.Decoder(Leaf)


def encode_detail(detail: Detail, *, reason: str) -> bytes:
    """Return the detail's JSON, keys sorted; `reason` fills the detail's own when it has none.

    Raises Invalid when it is larger than 1 MiB.
    """
    if reason and not detail.reason:
        detail = msgspec.structs.replace(detail, reason=reason)
    body = _DETAIL_ENCODER.encode(detail)
    if len(body) > MAX_DETAIL_BYTES:
        raise Invalid(
            f"the detail of a {type(detail).__name__} event has {len(body)} bytes",
            why=f"at most {MAX_DETAIL_BYTES} are kept with an event",
            fix="store it as an artifact and name its digest as a subject",
        )
    return body


def short_text(text: str) -> str | None:
    """Return a text as a detail keeps it: None for one too long to be repeated there."""
    return text if len(text) <= MAX_TEXT_CHARS else None


def short_texts(texts: Mapping[str, str]) -> dict[str, str | None]:
    """Return texts by key as a detail keeps them."""
    return {key: short_text(value) for key, value in texts.items()}


def commitment(salt: bytes, body: bytes) -> str:
    """Return the hexadecimal commitment to a detail's bytes."""
    return hmac.new(salt, body, hashlib.sha256).hexdigest()


def encode_leaf(
    event: EventId,
    *,
    act: Act,
    detail: type[Detail],
    time_us: int,
    subjects: Sequence[Subject],
    commit: str,
) -> bytes:
    """Return an event's leaf as canonical JSON.

    Raises Invalid when an id is none, when a subject is named twice, or when the leaf would be
    64 KiB or larger.
    """
    leaf: dict[str, canonical.Canonical] = {
        "v": LEAF_FORMAT,
        "id": event,
        "kind": detail.__name__,
        "kv": detail.KIND_VERSION,
        "project": _checked(act.project, _ID, "the project"),
        "actor": _checked(act.actor, _ID, "the actor"),
        "time": time_us,
        "subjects": [_encode_subject(subject) for subject in subjects],
        "commit": commit,
    }
    if act.cause is not None:
        leaf["cause"] = _checked(act.cause, _ID, "the cause")
    if act.request is not None:
        leaf["request"] = _checked(act.request, _ID, "the request")
    if len({(subject.kind, subject.id) for subject in subjects}) != len(subjects):
        raise Invalid(f"a {detail.__name__} event names the same subject twice")
    data = canonical.encode(leaf)
    if len(data) > MAX_LEAF_BYTES:
        raise Invalid(
            f"a {detail.__name__} event has a leaf of {len(data)} bytes, over {MAX_LEAF_BYTES}",
            why=f"it names {len(subjects)} subjects",
            fix="list them in an artifact and name that as the subject",
        )
    return data


def parse_leaf(data: bytes) -> Leaf:
    """Return what a leaf holds; raises Corrupt when it is not one of ours."""
    try:
        leaf = _LEAF_DECODER.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Corrupt("an entry of the journal is not a leaf", why=str(error)) from error
    if leaf.v != LEAF_FORMAT:
        raise Corrupt(
            f"an entry of the journal has leaf format {leaf.v}",
            why=f"this version reads format {LEAF_FORMAT}",
            fix="upgrade Millwright",
        )
    return leaf


def to_event(
    place: int,
    leaf: bytes,
    body: bytes | None,
    *,
    upcasts: Mapping[tuple[str, int], Upcast] = UPCASTS,
) -> Event:
    """Return an event as it is read today, old versions of its kind upcast."""
    parsed = parse_leaf(leaf)
    fields: Fields | None = None if body is None else msgspec.json.decode(body)
    version = parsed.kv
    while (upcast := upcasts.get((parsed.kind, version))) is not None:
        fields = None if fields is None else upcast(fields)
        version += 1
    return Event(
        id=parsed.id,
        place=place,
        kind=parsed.kind,
        kind_version=version,
        project=parsed.project,
        actor=parsed.actor,
        time_us=parsed.time,
        subjects=parsed.subjects,
        cause=parsed.cause,
        request=parsed.request,
        detail=fields,
    )


def _encode_subject(subject: Subject) -> dict[str, canonical.Canonical]:
    encoded: dict[str, canonical.Canonical] = {
        "kind": _checked(subject.kind, _KIND, "a subject's kind"),
        "id": subject.id
        if _DIGEST.fullmatch(subject.id)
        else _checked(subject.id, _ID, f"the {subject.kind}"),
    }
    if subject.digest is not None:
        encoded["digest"] = _checked(subject.digest, _DIGEST, f"the digest of the {subject.kind}")
    return encoded


def _checked(text: str, shape: re.Pattern[str], what: str) -> str:
    if not shape.fullmatch(text):
        raise Invalid(
            f"{what} of an event is given as {text[:80]!r}",
            why="a journal leaf can never be erased: it holds ids, digests and kinds, no names",
            fix="give the id or digest, and put names and text into the event's detail",
        )
    return text
