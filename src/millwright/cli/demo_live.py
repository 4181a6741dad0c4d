"""The demo's caller: sends requests to the serving process as any client would."""

from __future__ import annotations

import http.client
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import msgspec

from millwright.cli.demo_data import Draw
from millwright.core.errors import TimedOut, Unreachable
from millwright.core.ids import DecisionId
from millwright.records.schema import Column
from millwright.records.serving import Label

_DATATYPES = {"integer": "INT64", "float": "FP64", "boolean": "BOOL", "text": "BYTES"}
READY_S = 30.0


@dataclass(slots=True)
class Sent:
    """What came of some requests."""

    sent: int = 0
    answered: int = 0
    errors: int = 0
    versions: dict[str, int] = field(default_factory=dict[str, int])
    labels: list[Label] = field(default_factory=list[Label])
    times_us: list[int] = field(default_factory=list[int])
    last: DecisionId | None = None

    def add(self, other: Sent) -> None:
        """Count another batch in."""
        self.sent += other.sent
        self.answered += other.answered
        self.errors += other.errors
        for version, count in other.versions.items():
            self.versions[version] = self.versions.get(version, 0) + count
        self.labels += other.labels
        self.times_us += other.times_us
        self.last = other.last or self.last


class Caller:
    """One client with one connection, speaking the Open Inference Protocol."""

    def __init__(self, url: str, deployment: str, inputs: list[Column]) -> None:
        self._address = urlsplit(url).netloc
        self._path = f"/v2/models/{deployment}"
        self._inputs = inputs
        self._connection = http.client.HTTPConnection(self._address, timeout=30)

    def wait_until_ready(self) -> None:
        """Return when the deployment answers; raises TimedOut."""
        deadline = time.monotonic() + READY_S
        while time.monotonic() < deadline:
            try:
                self._connection.request("GET", f"{self._path}/ready")
                answer = self._connection.getresponse()
                answer.read()
                if answer.status == 200:
                    return
            except (OSError, http.client.HTTPException):
                self._connection.close()
            time.sleep(0.1)
        raise TimedOut(f"{self._path} was not ready in {READY_S:.0f} s")

    def send(self, draws: Iterable[Draw]) -> Sent:
        """Send each draw as one request, one after the other, and count what comes back."""
        seen = Sent()
        for draw in draws:
            body = msgspec.json.encode(self._body(draw))
            begin = time.perf_counter_ns()
            try:
                self._connection.request("POST", f"{self._path}/infer", body)
                answer = self._connection.getresponse()
                said = answer.read()
            except (OSError, http.client.HTTPException) as error:
                raise Unreachable(
                    f"the serving process at {self._address} does not answer", why=str(error)
                ) from error
            seen.times_us.append((time.perf_counter_ns() - begin) // 1000)
            seen.sent += 1
            decision = answer.headers.get("X-Millwright-Decision")
            version = answer.headers.get("X-Millwright-Version", "")
            if answer.status != 200 or decision is None:
                seen.errors += 1
                continue
            del said
            seen.answered += 1
            seen.versions[version] = seen.versions.get(version, 0) + 1
            seen.last = DecisionId(decision)
            seen.labels.append(Label(decision=seen.last, value=draw.truth))
        return seen

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def _body(self, draw: Draw) -> dict[str, object]:
        return {
            "parameters": {"key": draw.key, "case": draw.case},
            "inputs": [
                {
                    "name": column.name,
                    "shape": [1],
                    "datatype": _DATATYPES.get(column.kind, "BYTES"),
                    "data": [draw.inputs[column.name]],
                }
                for column in self._inputs
            ],
        }
