"""TensorBoard's events: what one record of an event file says, and how one is written.

Two dialects are in use. The older one (TensorFlow 1, tensorboardX, PyTorch) gives each kind of
value a field of its own; the newer one (TensorFlow 2, Keras) writes tensors, and says in the
metadata of a tag, often only the first time, which plugin they are for.

Field numbers are those of `event.proto`, `summary.proto`, `histogram.proto` in
`tensorflow/core` and of `plugin_data.proto` of the hparams plugin.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

import msgspec

from millwright.core.errors import Corrupt
from millwright.records.runs import MetricPoint
from millwright.tracking.sources.found import (
    FoundBytes,
    FoundEnd,
    FoundParams,
    FoundRow,
    Item,
    Unread,
)
from millwright.tracking.sources.paths import as_path
from millwright.tracking.sources.tensors import Tensor, read_tensor
from millwright.tracking.sources.wire import (
    Message,
    put_bytes,
    put_double,
    put_float,
    put_integer,
)

VERSION = "brain.Event:2"
US_PER_S = 1_000_000
_MAX_TIME_S = 1e11
_MAX_DEPTH = 16

_OTHER_KINDS = {6: "log message", 7: "session log", 8: "trace of a step", 9: "meta graph"}
_SIGNATURES = {
    b"\x89PNG": "png",
    b"\xff\xd8\xff": "jpg",
    b"GIF8": "gif",
    b"RIFF": "wav",
}
_SESSION_ENDS = {1: "finished", 2: "failed"}


class EventReader:
    """Turns the records of one run, in order, into items; keeps what tags were said to be."""

    def __init__(self) -> None:
        self._plugins: dict[str, str] = {}
        self._told: set[str] = set()
        self.first_us: int | None = None
        """The time of the earliest event so far."""
        self.last_us: int | None = None
        """The time of the latest event so far."""

    def read(self, data: bytes, where: str) -> Iterator[Item]:
        """Iterate over what an event says; raises Corrupt when it is none."""
        event = Message(data)
        time_us = _time_us(event.double(1))
        self.first_us = time_us if self.first_us is None else min(self.first_us, time_us)
        self.last_us = time_us if self.last_us is None else max(self.last_us, time_us)
        step = event.signed(2)
        for value in event.message(5).messages(1) if 5 in event else ():
            yield from self._value(value, step, time_us, where)
        if 4 in event:
            yield FoundBytes(path="graph.pb", data=event.raw(4))
        for number, what in _OTHER_KINDS.items():
            if number in event and what not in self._told:
                self._told.add(what)
                yield Unread(where=where, why=f"a {what} has no place here; others are passed over")

    def _value(self, value: Message, step: int, time_us: int, where: str) -> Iterator[Item]:
        tag = value.text(1)
        if 2 in value:
            number = value.float32(2)
            yield MetricPoint(key=tag, value=_known(number), step=step, time_us=time_us)
            return
        plugin = self._plugin(tag, value)
        if plugin == "hparams":
            yield from _hparams(value.message(9).message(1).raw(2), time_us)
        elif 5 in value:
            yield _legacy_histogram(tag, value.message(5), step, time_us)
        elif 4 in value:
            yield _blob("images", tag, step, value.message(4).raw(4))
        elif 6 in value:
            yield _blob("audio", tag, step, value.message(6).raw(4))
        elif 8 in value:
            yield from _tensor(plugin, tag, read_tensor(value.message(8)), step, time_us)
        else:
            yield Unread(where=where, why=f"the value of {tag[:80]!r} is of no known kind")

    def _plugin(self, tag: str, value: Message) -> str:
        if 9 in value:
            named = value.message(9).message(1).text(1)
            if named:
                self._plugins[tag] = named
        return self._plugins.get(tag, "")


def event(wall_time_s: float, *, step: int = 0, summary: bytes | None = None) -> bytes:
    """Return an event; without a summary it is the one that begins a file."""
    head = put_double(1, wall_time_s) + (put_integer(2, step) if step else b"")
    return head + (put_bytes(3, VERSION) if summary is None else put_bytes(5, summary))


def scalar(tag: str, value: float) -> bytes:
    """Return the summary of one number, as the older dialect writes it."""
    return put_bytes(1, put_bytes(1, tag) + put_float(2, value))


def text(tag: str, content: str) -> bytes:
    """Return the summary of one text, for the text plugin."""
    tensor = put_integer(1, 7) + put_bytes(2, b"") + put_bytes(8, content)
    return put_bytes(1, put_bytes(1, tag) + put_bytes(8, tensor) + put_bytes(9, _metadata("text")))


def image(tag: str, png: bytes, *, width: int, height: int) -> bytes:
    """Return the summary of one PNG image."""
    held = put_integer(1, height) + put_integer(2, width) + put_integer(3, 3) + put_bytes(4, png)
    return put_bytes(1, put_bytes(1, tag) + put_bytes(4, held))


def hparams(values: Mapping[str, str], *, start_s: float) -> bytes:
    """Return the summary that tells the hparams plugin a run's parameters, as texts."""
    entries = b"".join(
        put_bytes(1, put_bytes(1, key) + put_bytes(2, put_bytes(3, value)))
        for key, value in values.items()
    )
    session = put_bytes(3, entries + put_double(5, start_s))
    metadata = put_bytes(1, put_bytes(1, "hparams") + put_bytes(2, session))
    return put_bytes(1, put_bytes(1, "_hparams_/session_start_info") + put_bytes(9, metadata))


def _metadata(plugin: str) -> bytes:
    return put_bytes(1, put_bytes(1, plugin))


def _time_us(wall_time_s: float) -> int:
    # A time of 0 would read as "now"; what is no time at all is put at the beginning of time.
    if not 0 < wall_time_s < _MAX_TIME_S:
        return 1
    return max(1, round(wall_time_s * US_PER_S))


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value


def _tensor(plugin: str, tag: str, tensor: Tensor, step: int, time_us: int) -> Iterator[Item]:
    at: dict[str, object] = {"step": step, "time_us": time_us}
    if plugin == "images" and len(tensor.texts) > 2:
        # Width and height stand before the images.
        many = len(tensor.texts) > 3
        for place, data in enumerate(tensor.texts[2:]):
            yield _blob("images", tag, step, data, place if many else None)
    elif plugin == "audio" and tensor.texts:
        # A label stands beside each clip.
        clips = tensor.texts[::2] if tensor.shape[-1:] == (2,) else tensor.texts
        for place, data in enumerate(clips):
            yield _blob("audio", tag, step, data, place if len(clips) > 1 else None)
    elif tensor.texts:
        words = [one.decode("utf-8", "replace") for one in tensor.texts]
        content: dict[str, object] = {"text": words[0]} if len(words) == 1 else {"texts": words}
        yield FoundRow(table=f"texts/{tag}", row=at | content)
    elif plugin == "histograms" and len(tensor.shape) == 2 and tensor.shape[1] == 3:
        rows = [tensor.numbers[place : place + 3] for place in range(0, len(tensor.numbers), 3)]
        yield FoundRow(table=f"histograms/{tag}", row=at | {"buckets": rows})
    elif len(tensor.numbers) == 1 and plugin in {"scalars", ""}:
        yield MetricPoint(key=tag, value=_known(tensor.numbers[0]), step=step, time_us=time_us)
    else:
        held = {"shape": list(tensor.shape), "values": tensor.numbers}
        yield FoundRow(table=f"{plugin or 'tensors'}/{tag}", row=at | held)


def _legacy_histogram(tag: str, histogram: Message, step: int, time_us: int) -> FoundRow:
    limits, counts = histogram.doubles(6), histogram.doubles(7)
    if len(limits) != len(counts):
        raise Corrupt(f"a histogram has {len(limits)} limits and {len(counts)} counts")
    lefts = [histogram.double(1), *limits[:-1]]
    rights = [*limits[:-1], histogram.double(2)]
    buckets = [list(bucket) for bucket in zip(lefts, rights, counts, strict=False)]
    facts = {"count": histogram.double(3), "sum": histogram.double(4)}
    row: dict[str, object] = {"step": step, "time_us": time_us, "buckets": buckets}
    return FoundRow(table=f"histograms/{tag}", row=row | facts)


def _blob(kind: str, tag: str, step: int, data: bytes, place: int | None = None) -> FoundBytes:
    ending = next((name for magic, name in _SIGNATURES.items() if data.startswith(magic)), "bin")
    suffix = "" if place is None else f"-{place}"
    return FoundBytes(path=f"{as_path(f'{kind}/{tag}')}/{step}{suffix}.{ending}", data=data)


def _hparams(content: bytes, time_us: int) -> Iterator[Item]:
    plugin = Message(content)
    if 2 in plugin:
        # What may be tried in all runs together: kept as it is.
        yield FoundBytes(path="hparams.pb", data=plugin.raw(2))
    if 3 in plugin:
        entries = plugin.message(3).messages(1)
        yield FoundParams(
            params={entry.text(1): _spelled(_plain(entry.message(2))) for entry in entries}
        )
    if 4 in plugin:
        ended = plugin.message(4)
        status = _SESSION_ENDS.get(ended.unsigned(1))
        if status is not None:
            end_us = _time_us(ended.double(2)) if 2 in ended else time_us
            failed = status == "failed"
            yield FoundEnd(status="failed" if failed else "finished", end_us=end_us)


def _plain(value: Message, depth: int = 0) -> object:
    """Return a `google.protobuf.Value` as JSON has it."""
    if depth > _MAX_DEPTH:
        raise Corrupt("a value is nested too deeply")
    if 2 in value:
        number = value.double(2)
        return int(number) if number.is_integer() and abs(number) < 2**53 else number
    if 3 in value:
        return value.text(3)
    if 4 in value:
        return bool(value.unsigned(4))
    if 5 in value:
        entries = value.message(5).messages(1)
        return {entry.text(1): _plain(entry.message(2), depth + 1) for entry in entries}
    if 6 in value:
        return [_plain(one, depth + 1) for one in value.message(6).messages(1)]
    return None


def _spelled(value: object) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()
