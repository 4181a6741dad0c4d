"""Identities: 128-bit UUIDv7 numbers, shown as a prefix and 26 Crockford base32 characters.

`run_01ky3s3w6e7s2v9k1rqzjq0x5b` sorts by the time it was made, says what it names, and holds
the same 128 bits that MLflow's routes show as 32 hexadecimal digits. A type per kind keeps a
run from being passed for a model version; at run time each is a plain string.

Source: RFC 9562 §5.7 (UUIDv7), §6.2 method 1 (a counter keeps one process monotonic).
"""

from __future__ import annotations

import os
import re
import threading
import time
from typing import NewType

from millwright.core.errors import Invalid

ActorId = NewType("ActorId", str)
AlertId = NewType("AlertId", str)
ApprovalId = NewType("ApprovalId", str)
DatasetId = NewType("DatasetId", str)
DatasetVersionId = NewType("DatasetVersionId", str)
DecisionId = NewType("DecisionId", str)
DeploymentId = NewType("DeploymentId", str)
EventId = NewType("EventId", str)
ExperimentId = NewType("ExperimentId", str)
GateId = NewType("GateId", str)
HomeId = NewType("HomeId", str)
JobId = NewType("JobId", str)
LabelsId = NewType("LabelsId", str)
LoggedModelId = NewType("LoggedModelId", str)
ModelId = NewType("ModelId", str)
ModelVersionId = NewType("ModelVersionId", str)
MonitorId = NewType("MonitorId", str)
PipelineId = NewType("PipelineId", str)
ProjectId = NewType("ProjectId", str)
RequestId = NewType("RequestId", str)
RolloutId = NewType("RolloutId", str)
RuleId = NewType("RuleId", str)
RunId = NewType("RunId", str)
SegmentId = NewType("SegmentId", str)
TokenId = NewType("TokenId", str)
ViewId = NewType("ViewId", str)
WebhookId = NewType("WebhookId", str)

PREFIXES: dict[str, str] = {
    "act": "actor",
    "alr": "alert",
    "apr": "approval",
    "dat": "dataset",
    "dsv": "dataset version",
    "dec": "decision",
    "dep": "deployment",
    "evt": "event",
    "exp": "experiment",
    "gat": "gate verdict",
    "hom": "home",
    "job": "job",
    "lab": "labels",
    "lgm": "logged model",
    "mod": "model",
    "mov": "model version",
    "mon": "monitor",
    "pip": "pipeline",
    "prj": "project",
    "req": "request",
    "rol": "rollout",
    "rul": "rule",
    "run": "run",
    "seg": "segment",
    "tok": "token",
    "viw": "saved view",
    "whk": "webhook",
}
"""Prefix -> the glossary's word for what it names."""

ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
# Crockford: letters that a reader confuses with digits are read as them.
_VALUES = {char: value for value, char in enumerate(ALPHABET)} | {"i": 1, "l": 1, "o": 0}
_BODY_CHARS = 26
# Two characters at a time, and as Python's own base 32 spells them: ids are on every hot path.
_PAIRS = [first + second for first in ALPHABET for second in ALPHABET]
_SHIFTS = range(120, -1, -10)
_DIGITS = str.maketrans(
    {char: "0123456789abcdefghijklmnopqrstuv"[value] for char, value in _VALUES.items()}
)
_COUNTER_BITS = 18
_HEX = re.compile(r"[0-9a-fA-F]{32}")


class _Sequence:
    """Hands out (millisecond, counter) pairs that never repeat or go back in this process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last_ms = 0
        self._counter = 0

    def take(self) -> tuple[int, int]:
        now_ms = time.time_ns() // 1_000_000
        with self._lock:
            if now_ms > self._last_ms:
                self._last_ms = now_ms
                # Half the room is left for counting up within the millisecond.
                self._counter = int.from_bytes(os.urandom(3)) >> (24 - _COUNTER_BITS + 1)
            else:
                self._counter += 1
                if self._counter >> _COUNTER_BITS:
                    self._last_ms += 1
                    self._counter = 0
            return self._last_ms, self._counter


_SEQUENCE = _Sequence()


def new_uuid7() -> int:
    """Return a fresh UUIDv7 as a 128-bit integer, larger than any made before in this process."""
    ms, counter = _SEQUENCE.take()
    rand_a, counter_low = counter >> 6, counter & 0x3F
    rand_b = counter_low << 56 | int.from_bytes(os.urandom(7))
    return ms << 80 | 0x7 << 76 | rand_a << 64 | 0b10 << 62 | rand_b


def new_id(prefix: str) -> str:
    """Return a fresh id with `prefix` (one of PREFIXES); wrap it in its type: RunId(new_id("run")).

    >>> new_id("run").startswith("run_")
    True
    """
    if prefix not in PREFIXES:
        raise Invalid(f"unknown id prefix {prefix!r}", why=f"known: {', '.join(sorted(PREFIXES))}")
    return f"{prefix}_{encode(new_uuid7())}"


def encode(number: int) -> str:
    """Return 26 Crockford base32 characters for a 128-bit number, most significant first."""
    return "".join([_PAIRS[number >> shift & 1023] for shift in _SHIFTS])


def decode(body: str) -> int:
    """Return the 128-bit number that 26 Crockford base32 characters stand for, in any case.

    Raises Invalid on a wrong length, a character outside the alphabet, or more than 128 bits.
    """
    if len(body) != _BODY_CHARS:
        raise Invalid(
            f"an id has {_BODY_CHARS} characters after its prefix, not {len(body)}: {body!r}"
        )
    lower = body.lower()
    for char in lower:
        if char not in _VALUES:
            raise Invalid(f"{char!r} cannot stand in an id: {body!r}")
    number = int(lower.translate(_DIGITS), 32)
    if number >> 128:
        raise Invalid(f"more than 128 bits in an id: {body!r}", why="it begins above '7'")
    return number


def parse_id(text: str, prefix: str) -> str:
    """Return `text` in its one canonical spelling, having checked that it names a `prefix` thing.

    Raises Invalid, saying what was expected, when it does not.
    """
    head, separator, body = text.partition("_")
    if not separator or head.lower() != prefix:
        raise Invalid(
            f"{text!r} is not the id of a {PREFIXES.get(prefix, prefix)}",
            why=f"such ids begin with {prefix}_",
        )
    return f"{prefix}_{encode(decode(body))}"


def noun_of(text: str) -> str:
    """Return the glossary's word for what an id names; raises Invalid for an unknown prefix."""
    prefix = text.partition("_")[0].lower()
    if prefix not in PREFIXES:
        raise Invalid(
            f"{text[:80]!r} is not an id", why=f"ids begin with one of {sorted(PREFIXES)}"
        )
    return PREFIXES[prefix]


def bounds(text: str, prefix: str) -> tuple[str, str]:
    """Return the lowest and highest id that begin as `text` does; a whole id gives itself twice.

    Raises Invalid when no id of a `prefix` thing begins like that.

    >>> bounds("run_7z", "run")[0]
    'run_7z000000000000000000000000'
    """
    head, separator, body = text.lower().partition("_")
    fits = len(body) <= _BODY_CHARS and all(char in _VALUES for char in body)
    if not separator or head != prefix or not fits:
        raise Invalid(
            f"{text[:80]!r} is not the beginning of the id of a {PREFIXES.get(prefix, prefix)}",
            why=f"such ids begin with {prefix}_ and have {_BODY_CHARS} letters and digits",
        )
    plain = "".join(ALPHABET[_VALUES[char]] for char in body)
    return (
        f"{prefix}_{plain.ljust(_BODY_CHARS, '0')}",
        f"{prefix}_{plain.ljust(_BODY_CHARS, 'z')}",
    )


def to_hex(text: str) -> str:
    """Return the 32 hexadecimal digits by which MLflow's routes know this id."""
    return f"{decode(text.partition('_')[2]):032x}"


def from_hex(digits: str, prefix: str) -> str:
    """Return the id with `prefix` that 32 hexadecimal digits stand for."""
    if not _HEX.fullmatch(digits):
        raise Invalid(f"expected 32 hexadecimal digits, got {digits!r}")
    return f"{prefix}_{encode(int(digits, 16))}"


def in_our_spelling(text: str, prefix: str) -> str:
    """Return the id with `prefix` for 32 hexadecimal digits, behind `m-` too, or `text` itself.

    Tools that speak MLflow's protocol spell ids so; of ours none looks like that.
    """
    digits = text.removeprefix("m-")
    return from_hex(digits, prefix) if _HEX.fullmatch(digits) else text


def made_at_us(text: str) -> int:
    """Return when the id was made, in microseconds since 1970 UTC, to the millisecond."""
    return (decode(text.partition("_")[2]) >> 80) * 1000
