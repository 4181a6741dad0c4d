"""The serving process's HTTP side: a raw ASGI application, without a framework.

It reads the request, asks the protocol that owns the path, lets the engine decide, and answers.
Every answer that is a decision carries its id, version and model digest in headers, whatever
the protocol. A traceback never leaves the process.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import TypeAlias, cast

from millwright.core.errors import Invalid, MillwrightError, NotFound, Unreachable
from millwright.serving.engine import Caller, Engine
from millwright.serving.metrics import Metrics, Sample
from millwright.serving.protocol import Answer, ModelFacts, Route, WireProtocol

MAX_BODY_BYTES = 64 << 20
METRICS_PATH = "/metrics"

Scope: TypeAlias = Mapping[str, object]
Message: TypeAlias = dict[str, object]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
Headers: TypeAlias = list[tuple[bytes, bytes]]

_LOG = logging.getLogger(__name__)
_JSON = (b"content-type", b"application/json")
_TEXT = (b"content-type", b"text/plain; version=0.0.4; charset=utf-8")
_CLOSE = (b"connection", b"close")


class _TooLargeError(Exception):
    """The body is larger than we take."""


class _EncodedError(Exception):
    """The body is compressed, which we do not read."""


class _GoneError(Exception):
    """The caller went away before the whole request was here."""


class App:
    """Answers HTTP requests with an engine, by way of wire protocols."""

    def __init__(
        self,
        *,
        engine: Engine,
        protocols: Sequence[WireProtocol],
        metrics: Metrics,
        is_ready: Callable[[], bool],
        samples: Callable[[], Iterable[Sample]],
    ) -> None:
        self.is_draining = False
        """While True every answer asks its caller to open a new connection, elsewhere."""
        self._engine = engine
        self._protocols = protocols
        self._metrics = metrics
        self._is_ready = is_ready
        self._samples = samples

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        assert scope["type"] == "http"  # the server is started without the others
        path, method = cast("str", scope["path"]), cast("str", scope["method"])
        if path == METRICS_PATH:
            await self._send(send, 200, self._metrics.render(self._samples()), [_TEXT])
            return
        protocol = self._protocols[0]
        try:
            for each in self._protocols:
                route = each.route(path)
                if route is not None:
                    protocol = each
                    break
            else:
                raise NotFound(f"nothing is at {path[:200]!r}")
            if method != route.method and not (method == "HEAD" and route.method == "GET"):
                text = f"{path[:200]} takes {route.method}, not {method[:20]}"
                allow = (b"allow", route.method.encode())
                await self._send(send, 405, protocol.say_error(text), [_JSON, allow])
            elif route.action == "infer":
                await self._infer(protocol, route, scope, receive, send)
            else:
                await self._send(send, 200, self._tell(protocol, route), [_JSON])
        except MillwrightError as error:
            await self._send(send, error.status, protocol.say_error(_words(error)), [_JSON])
        except _TooLargeError:
            text = f"the body is larger than {MAX_BODY_BYTES >> 20} MB"
            await self._send(send, 413, protocol.say_error(text), [_JSON, _CLOSE])
        except _EncodedError:
            text = "compressed bodies are not taken; send the JSON itself"
            await self._send(send, 415, protocol.say_error(text), [_JSON])
        except _GoneError:
            return
        except Exception:  # noqa: BLE001 (the caller is told, and the log)
            _LOG.exception("a request failed by a fault of ours")
            text = "this is a fault of the server; its log says more"
            await self._send(send, 500, protocol.say_error(text), [_JSON])

    async def _infer(
        self, protocol: WireProtocol, route: Route, scope: Scope, receive: Receive, send: Send
    ) -> None:
        caller = _read_headers(cast("Headers", scope["headers"]))
        call = protocol.parse(await _read_body(receive))
        answer = await self._engine.decide(route.model, call, caller=caller, version=route.version)
        headers = [_JSON, *_describe(answer)]
        if answer.error is None:
            await self._send(send, 200, call.encode(answer), headers)
        else:
            status, text = answer.error.status, _words(answer.error, with_why=False)
            await self._send(send, status, protocol.say_error(text), headers)

    def _tell(self, protocol: WireProtocol, route: Route) -> bytes:
        match route.action:
            case "live":
                return protocol.say_live()
            case "server":
                return protocol.describe_server()
            case "ready":
                if not self._is_ready():
                    raise Unreachable("this server is starting, or stopping")
                return protocol.say_ready(None)
            case _:
                pass
        if not self._is_ready():
            raise Unreachable(f"{route.model[:80]!r} cannot answer yet, or no more")
        deployed = self._engine.get(route.model)
        variants = deployed.plan.variants
        champion = next(each for each in variants if each.role == "champion")
        chosen = champion if route.version is None else deployed.variant(route.version)
        if route.action == "model-ready":
            return protocol.say_ready(route.model)
        model = deployed.model(chosen)
        return protocol.describe_model(
            ModelFacts(
                name=route.model,
                versions=sorted(variant.version for variant in variants),
                flavor=model.flavor,
                signature=model.signature,
                widths=model.widths,
            )
        )

    async def _send(self, send: Send, status: int, body: bytes, headers: Headers) -> None:
        headers.append((b"content-length", str(len(body)).encode()))
        if status == 503:
            headers.append((b"retry-after", b"1"))
        if self.is_draining:
            headers.append(_CLOSE)
        self._metrics.count_response(status)
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})


def _read_headers(headers: Headers) -> Caller:
    key = subject = case = None
    for name, value in headers:
        if name == b"content-length" and int(value) > MAX_BODY_BYTES:
            raise _TooLargeError
        if name == b"content-encoding" and value.lower() not in (b"", b"identity"):
            raise _EncodedError
        if name == b"x-millwright-key":
            key = _text(value)
        elif name == b"x-millwright-subject":
            subject = _text(value)
        elif name == b"x-millwright-case":
            case = _text(value)
    return Caller(key, subject, case)


def _text(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError as error:
        raise Invalid("a header is not UTF-8", why=repr(value[:80])) from error


async def _read_body(receive: Receive) -> bytes:
    pieces: list[bytes] = []
    size_bytes = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise _GoneError
        piece = cast("bytes", message.get("body", b""))
        more = message.get("more_body", False)
        if not more and not pieces:
            return piece
        size_bytes += len(piece)
        if size_bytes > MAX_BODY_BYTES:
            raise _TooLargeError
        pieces.append(piece)
        if not more:
            return b"".join(pieces)


def _describe(answer: Answer) -> Headers:
    """Return the headers that say who decided; of several rows the first one's decision."""
    first = answer.decisions[0]
    return [
        (b"x-millwright-decision", first.id.encode()),
        (b"x-millwright-version", str(first.version).encode()),
        (b"x-millwright-model-digest", first.digest.encode()),
        (b"x-millwright-queue-us", str(first.queue_us).encode()),
        (b"x-millwright-model-us", str(first.model_us).encode()),
    ]


def _words(error: MillwrightError, *, with_why: bool = True) -> str:
    """Return an error in one line; why a model failed is for its owner, not its callers."""
    parts = (error.what, error.why if with_why else "", error.fix)
    return "; ".join(part for part in parts if part)
