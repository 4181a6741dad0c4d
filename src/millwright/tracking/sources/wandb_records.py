"""The records of a W&B log, one after the other, and what they add up to.

What was logged at a step is a row of JSON values under nested keys. Numbers become points,
keys joined by dots as W&B's own pages join them; all else becomes rows of tables. Configuration
and summary are changed as the run goes on; what they were in the end counts.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TypeGuard, cast

import msgspec

from millwright.records.runs import MetricPoint
from millwright.tracking.sources.found import FoundFile, FoundLog, FoundRow, Item
from millwright.tracking.sources.paths import as_path
from millwright.tracking.sources.wire import Message

US_PER_S = 1_000_000
_HISTORY, _SUMMARY, _CONFIG, _STATS, _ARTIFACT, _OUTPUT = 2, 3, 5, 7, 8, 13
_RUN, _EXIT, _USE_ARTIFACT, _ENVIRONMENT = 17, 18, 25, 26
_INTERNAL = ("_wandb", "_step", "_timestamp", "_runtime")
_DECODER = msgspec.json.Decoder()


class Reading:
    """What the records read so far say of a run."""

    def __init__(self, *, take_staged: bool = False) -> None:
        self._take_staged = take_staged
        self.run_id = self.entity = self.project = self.name = ""
        self.start_us: int | None = None
        self.last_us: int | None = None
        self.exit_code: int | None = None
        self.command: tuple[str, ...] = ()
        self.python = self.platform = self.git_commit = ""
        self.tags: dict[str, str] = {}
        self.summary: dict[str, object] = {}
        self._config: dict[str, object] = {}
        self._step = 0
        self._stats = 0
        self._logged: set[str] = set()

    def read(self, record: Message) -> Iterator[Item]:
        """Iterate over what a record says; raises Corrupt when it is none."""
        if _HISTORY in record:
            yield from self._history(record.message(_HISTORY))
        elif _SUMMARY in record:
            _change(self.summary, record.message(_SUMMARY))
        elif _OUTPUT in record:
            output = record.message(_OUTPUT)
            self._seen(_timestamp(output.message(2)))
            yield FoundLog(text=output.text(3))
        elif _STATS in record:
            yield from self._system(record.message(_STATS))
        elif _CONFIG in record:
            _change(self._config, record.message(_CONFIG))
        elif _RUN in record:
            self._run(record.message(_RUN))
        elif _ENVIRONMENT in record:
            self._environment(record.message(_ENVIRONMENT))
        elif _EXIT in record:
            self._exit(record.message(_EXIT))
        elif _ARTIFACT in record:
            yield from _artifact(record.message(_ARTIFACT), take_staged=self._take_staged)
        elif _USE_ARTIFACT in record:
            used = record.message(_USE_ARTIFACT)
            name = used.text(3) or used.text(1)
            row: dict[str, object] = {"name": name, "type": used.text(2), "way": "input"}
            yield FoundRow(table="wandb-artifacts", row=row)

    def config(self) -> dict[str, object]:
        """Return the configuration as it was in the end, keys joined by dots."""
        own = {key: value for key, value in self._config.items() if key != "_wandb"}
        return dict(flat(own))

    def left_in_summary(self) -> Iterator[MetricPoint]:
        """Iterate over the numbers that were only ever summarised, never logged at a step."""
        for key, value in flat(self.summary):
            if key.split(".")[0] in _INTERNAL or key in self._logged or not _is_number(value):
                continue
            at_us = self.last_us or self.start_us or 1
            yield MetricPoint(key=key, value=_finite(value), step=self._step, time_us=at_us)

    def _run(self, run: Message) -> None:
        self.run_id = run.text(1) or self.run_id
        self.entity = run.text(2) or self.entity
        self.project = run.text(3) or self.project
        self.name = run.text(8) or self.name
        if 17 in run:
            start_us = _timestamp(run.message(17))
            self.start_us = start_us if self.start_us is None else min(start_us, self.start_us)
        _change(self._config, run.message(4))
        _change(self.summary, run.message(5))
        labels = run.texts(10)
        named = {
            "mlflow.note.content": run.text(9),
            "wandb.group": run.text(6),
            "wandb.job_type": run.text(7),
            "wandb.sweep": run.text(12),
            "wandb.host": run.text(13),
            "wandb.tags": msgspec.json.encode(labels).decode() if labels else "",
            "wandb.git_remote": run.message(21).text(1),
        }
        self.tags |= {key: value for key, value in named.items() if value}
        self.git_commit = run.message(21).text(2) or self.git_commit

    def _environment(self, environment: Message) -> None:
        program = environment.text(6)
        if program:
            self.command = (program, *environment.texts(5))
        self.python = environment.text(2) or self.python
        self.platform = environment.text(1) or self.platform
        self.git_commit = environment.message(9).text(2) or self.git_commit

    def _exit(self, ended: Message) -> None:
        self.exit_code = ended.signed(1)
        if self.start_us is not None:
            self._seen(self.start_us + ended.signed(2) * US_PER_S)

    def _history(self, history: Message) -> Iterator[Item]:
        row: dict[str, object] = {}
        _set(row, history.messages(1))
        step = _whole(row.get("_step"))
        self._step = history.message(2).signed(1) if step is None else step
        at_us = time_us(row.get("_timestamp")) or self.last_us or self.start_us or 1
        self._seen(at_us)
        for key, value in row.items():
            if key not in _INTERNAL:
                yield from self._logged_value(key, value, at_us)

    def _logged_value(self, key: str, value: object, at_us: int) -> Iterator[Item]:
        if _is_number(value):
            self._logged.add(key)
            yield MetricPoint(key=key, value=_finite(value), step=self._step, time_us=at_us)
            return
        held = _as_object(value)
        if held is not None and "_type" not in held:
            for inner, one in held.items():
                yield from self._logged_value(f"{key}.{inner}", one, at_us)
            return
        self._logged.add(key)
        table, row = _as_row(value)
        yield FoundRow(table=f"{table}/{key}", row={"step": self._step, "time_us": at_us} | row)

    def _system(self, stats: Message) -> Iterator[Item]:
        at_us = _timestamp(stats.message(2))
        self._seen(at_us)
        for item in stats.messages(3):
            key, value = f"system/{item.text(1)}", _json(item.text(16))
            if _is_number(value):
                yield MetricPoint(key=key, value=_finite(value), step=self._stats, time_us=at_us)
        self._stats += 1

    def _seen(self, at_us: int) -> None:
        self.last_us = at_us if self.last_us is None else max(self.last_us, at_us)


def flat(values: Mapping[str, object], above: str = "") -> Iterator[tuple[str, object]]:
    """Iterate over nested values under keys joined by dots; an empty object stays itself."""
    for key, value in values.items():
        if isinstance(value, dict) and value:
            yield from flat(cast("dict[str, object]", value), f"{above}{key}.")
        else:
            yield f"{above}{key}", value


def spelled(value: object) -> str:
    """Return a configured value as text: text as it is, all else as JSON."""
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def time_us(seconds: object) -> int | None:
    """Return seconds since 1970 in microseconds; None for what is no such time."""
    if isinstance(seconds, int | float) and 0 < seconds < 1e11:
        return max(1, round(seconds * US_PER_S))
    return None


def _timestamp(message: Message) -> int:
    return max(1, message.signed(1) * US_PER_S + message.signed(2) // 1000)


def _change(values: dict[str, object], record: Message) -> None:
    """Apply what a record sets, and what it takes away."""
    _set(values, record.messages(1))
    for item in record.messages(2):
        *above, last = _keys(item)
        _inside(values, above).pop(last, None)


def _set(values: dict[str, object], items: list[Message]) -> None:
    for item in items:
        *above, last = _keys(item)
        _inside(values, above)[last] = _json(item.text(16))


def _inside(values: dict[str, object], keys: list[str]) -> dict[str, object]:
    for key in keys:
        found = values.get(key)
        if not isinstance(found, dict):
            found = values[key] = {}
        values = cast("dict[str, object]", found)
    return values


def _keys(item: Message) -> list[str]:
    return item.texts(2) or [item.text(1)]


def _is_number(value: object) -> TypeGuard[bool | int | float]:
    return isinstance(value, bool | int | float)


def _finite(value: float) -> float | None:
    """Return a number as a point holds it: None stands for not-a-number."""
    return None if math.isnan(value) else float(value)


def _whole(value: object) -> int | None:
    return int(value) if isinstance(value, int | float) and math.isfinite(value) else None


_BARE = {
    "NaN": math.nan,
    "Infinity": math.inf,
    "-Infinity": -math.inf,
}


def _json(text: str) -> object:
    """Return a JSON value; a number that JSON has no word for may stand bare."""
    if text in _BARE:
        return _BARE[text]
    try:
        return _DECODER.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return _lenient(text)


def _lenient(text: str) -> object:
    import json

    try:
        # Python's own reader knows NaN inside of lists and objects, too.
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _as_row(value: object) -> tuple[str, dict[str, object]]:
    """Return for what was logged and is no number: the kind of table, and its row there."""
    if isinstance(value, str):
        return "values", {"text": value}
    held = _as_object(value)
    if held is None:
        return "values", {"value": value}
    if held.get("_type") == "histogram" and (buckets := _buckets(held)) is not None:
        return "histograms", {"buckets": buckets}
    return "media", {"value": held}


def _as_object(value: object) -> dict[str, object] | None:
    return cast("dict[str, object]", value) if isinstance(value, dict) else None


def _buckets(held: Mapping[str, object]) -> list[list[object]] | None:
    counts, edges = held.get("values"), held.get("bins")
    if not isinstance(counts, list) or not isinstance(edges, list):
        return None
    counts, edges = cast("list[object]", counts), cast("list[object]", edges)
    if len(edges) != len(counts) + 1:
        return None
    return [list(bucket) for bucket in zip(edges, edges[1:], counts, strict=False)]


def _artifact(artifact: Message, *, take_staged: bool) -> Iterator[Item]:
    name = artifact.text(5)
    files: list[dict[str, object]] = []
    for entry in artifact.message(12).messages(4):
        path, size_bytes = entry.text(1), entry.signed(4)
        reference = entry.text(3)
        files.append({"path": path, "digest": entry.text(2), "ref": reference, "size": size_bytes})
        # Until it is uploaded the content lies outside of the run's folder.
        staged = Path(entry.text(6))
        if take_staged and entry.text(6) and staged.is_file():
            yield FoundFile(
                path=as_path(f"artifacts/{name}/{path}"),
                size_bytes=staged.stat().st_size,
                fetch=lambda _, at=staged: at,
            )
    row: dict[str, object] = {
        "name": name,
        "type": artifact.text(4),
        "way": "output",
        "digest": artifact.text(6),
        "description": artifact.text(7),
        "metadata": _json(artifact.text(8) or "{}"),
        "aliases": artifact.texts(11),
        "files": files,
    }
    yield FoundRow(table="wandb-artifacts", row=row)
