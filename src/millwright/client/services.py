"""The door over HTTP: the methods of every noun, made from what its Protocol declares."""

from __future__ import annotations

import inspect
from enum import Enum
from types import TracebackType
from typing import Any, Self, TypeVar, cast
from urllib.parse import quote

import msgspec

from millwright.client.artifacts import RemoteArtifacts
from millwright.client.transport import READ_TIMEOUT_S, Transport
from millwright.core.errors import Failed, Invalid
from millwright.doors.access import Access
from millwright.doors.artifacts import Artifacts
from millwright.doors.audit import Audit
from millwright.doors.data import Data
from millwright.doors.decisions import Decisions
from millwright.doors.deployments import Deployments, Labels, Serving
from millwright.doors.experiments import Experiments
from millwright.doors.files import Files
from millwright.doors.jobs import Jobs
from millwright.doors.logged_models import LoggedModels
from millwright.doors.models import Gates, Models
from millwright.doors.monitors import Alerts, Monitors, Rules
from millwright.doors.operation import BoundOperation, operations_of
from millwright.doors.runs import Runs
from millwright.doors.studies import Studies
from millwright.doors.views import Views
from millwright.doors.webhooks import Webhooks

PREFIX = "/api/v1"
WITH_BODY = frozenset({"POST", "PUT"})

P = TypeVar("P")


class Client:
    """A door into one project of the home that a server serves.

    `url` is the server's address, `token` a secret `mw_…`, or None where the server is open on
    loopback. A server that keeps silent for `read_timeout_s` is given up; later, where much is
    sent or what is asked for takes long. Every method raises what the server raised, Unreachable
    when nobody answers, and TimedOut. Usable from many threads; close it, or use it in a `with`
    block.
    """

    def __init__(
        self,
        url: str,
        token: str | None = None,
        project: str = "default",
        *,
        read_timeout_s: float = READ_TIMEOUT_S,
        transport: Transport | None = None,
    ) -> None:
        self._transport = transport or Transport(
            url, token=token, project=project, read_timeout_s=read_timeout_s
        )
        self.access: Access = self._noun("access", Access)
        self.alerts: Alerts = self._noun("alerts", Alerts)
        self.artifacts: Artifacts = RemoteArtifacts(self._transport)
        self.audit: Audit = self._noun("audit", Audit)
        self.data: Data = self._noun("data", Data)
        self.decisions: Decisions = self._noun("decisions", Decisions)
        self.deployments: Deployments = self._noun("deployments", Deployments)
        self.experiments: Experiments = self._noun("experiments", Experiments)
        self.files: Files = self._noun("files", Files)
        self.gates: Gates = self._noun("gates", Gates)
        self.jobs: Jobs = self._noun("jobs", Jobs)
        self.labels: Labels = self._noun("labels", Labels)
        self.logged_models: LoggedModels = self._noun("logged_models", LoggedModels)
        self.models: Models = self._noun("models", Models)
        self.monitors: Monitors = self._noun("monitors", Monitors)
        self.rules: Rules = self._noun("rules", Rules)
        self.runs: Runs = self._noun("runs", Runs)
        self.serving: Serving = self._noun("serving", Serving)
        self.studies: Studies = self._noun("studies", Studies)
        self.views: Views = self._noun("views", Views)
        self.webhooks: Webhooks = self._noun("webhooks", Webhooks)

    def close(self) -> None:
        """Let go of the connections."""
        self._transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _noun(self, name: str, door: type[P]) -> P:
        return cast("P", _Proxy(self._transport, name, door))


class _Proxy:
    """Has the methods that a door's Protocol declares, each a request.

    They are made when the first of them is asked for: most commands use one noun, and need not
    wait until the Protocols of all are read.
    """

    def __init__(self, transport: Transport, noun: str, door: type) -> None:
        self._transport = transport
        self._noun = noun
        self._door = door

    def __getattr__(self, name: str) -> _Method:
        # Called only for what is not there yet.
        for bound in operations_of(self._noun, self._door):
            self.__dict__[bound.name] = _Method(self._transport, bound)
        made = self.__dict__.get(name)
        if made is None:
            raise AttributeError(f"{self._noun} has no operation {name!r}")
        return made


class _Method:
    """One operation, to be called as the Protocol's method is."""

    def __init__(self, transport: Transport, bound: BoundOperation) -> None:
        self._transport = transport
        self._bound = bound
        self._signature = inspect.Signature(
            [
                inspect.Parameter(
                    argument.name, inspect.Parameter.KEYWORD_ONLY, default=argument.default
                )
                for argument in bound.arguments
            ]
        )
        self.__name__ = bound.name
        self.__doc__ = bound.summary

    def __repr__(self) -> str:
        return f"<{self._bound.noun}.{self._bound.name} over {self._transport.url}>"

    def __call__(self, **arguments: Any) -> Any:
        # As for any function, an argument that is unknown or missing is a TypeError here.
        given = dict(self._signature.bind(**arguments).arguments)
        declared = self._bound.operation
        path = PREFIX + declared.path
        for name in declared.path_arguments:
            # An argument in the path may have a default, as `champion`; the path always says it.
            value = given.pop(name, self._signature.parameters[name].default)
            path = path.replace(f"{{{name}}}", _segment(name, str(value)))
        waits_s = READ_TIMEOUT_S if declared.is_long else 0.0
        if declared.method in WITH_BODY:
            body = msgspec.json.encode(given)
            answer = self._transport.call(declared.method, path, body=body, waits_s=waits_s)
        else:
            query = {name: _text_of(value) for name, value in given.items() if value is not None}
            waits_s += float(given.get("wait_s") or 0.0)
            answer = self._transport.call(declared.method, path, query=query, waits_s=waits_s)
        if not answer:
            return None
        try:
            return msgspec.json.decode(answer, type=self._bound.result)
        except msgspec.DecodeError as error:
            raise Failed(
                f"the answer to {declared.method} {path} is not what this version knows",
                why=str(error),
                fix="use the same version of Millwright here and on the server",
            ) from error


def _segment(name: str, value: str) -> str:
    if value in {"", ".", ".."}:
        raise Invalid(f"{value!r} cannot be the {name} of anything")
    return quote(value, safe="")


def _text_of(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value.value if isinstance(value, Enum) else value)
