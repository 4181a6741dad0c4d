"""A serving process from start to stop: the one place of this room that knows all of it.

Threads beside the event loop: one follows the control plane, one seals, one uploads, and a
small pool answers for slow models. Stopping goes outward in: the port is closed, answers under
way are given, decisions are sealed, and what the control plane takes within a few seconds is
sent; the rest lies on disk for the next start.
"""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import cast

import uvicorn

from millwright.artifacts.files import explain
from millwright.core import plugins
from millwright.core.clock import US_PER_S, Clock, SystemClock
from millwright.core.digest import Digest
from millwright.core.errors import Conflict, Unreachable, Unsupported
from millwright.core.ids import encode, new_uuid7
from millwright.core.refs import check_name
from millwright.registry.package import LoadedModel, load_package
from millwright.serving.app import App
from millwright.serving.capture import Capture
from millwright.serving.engine import Engine
from millwright.serving.follow import ControlPlane, Follower
from millwright.serving.metrics import Metrics, Sample
from millwright.serving.models import Load, ModelStore
from millwright.serving.protocol import GROUP, WireProtocol
from millwright.serving.upload import Uploader

DRAIN_S = 0.3
"""After the port is closed: time for kept connections to be told to close."""
FINISH_S = 30
UPLOAD_S = 10.0
PORTS_TRIED = 20
# A thread that seals must not keep the event loop from an answer for the usual 5 ms.
_SWITCH_S = 0.0005

_LOG = logging.getLogger(__name__)


class Service:
    """One life of one serving process; `run` blocks until `stop` is called or a signal comes."""

    def __init__(
        self,
        control: ControlPlane,
        *,
        state: Path,
        instance: str,
        protocols: Sequence[WireProtocol],
        load: Load,
        clock: Clock,
        pool: ThreadPoolExecutor,
    ) -> None:
        # The id makes each life's name its own, and lives sort by their beginnings.
        name = f"{encode(new_uuid7())}-{check_name(instance, 'serving process')}"
        folder = state / "segments"
        self.metrics = Metrics()
        self.uploader = Uploader(folder, control=control, clock=clock)
        self.capture = Capture(folder, instance=name, clock=clock, on_sealed=self.uploader.wake)
        self.engine = Engine(capture=self.capture, metrics=self.metrics, clock=clock)
        models = ModelStore(
            state / "packages", fetch=control.fetch_package, load=load, pool=pool, clock=clock
        )
        self.follower = Follower(
            control=control, engine=self.engine, models=models, state=state, clock=clock
        )
        self.app = App(
            engine=self.engine,
            protocols=protocols,
            metrics=self.metrics,
            is_ready=lambda: self.follower.has_plans and not self._stop.is_set(),
            samples=self._samples,
        )
        self._stop = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._server: _Server | None = None

    def run(self, listener: socket.socket, ready: Callable[[int], None] | None) -> None:
        """Serve on a bound socket until told to stop; then leave nothing unsealed."""
        self.capture.recover()
        self.follower.start_from_cache()
        threads = [
            threading.Thread(target=work, args=(self._stop,), name=f"serving-{name}", daemon=True)
            for name, work in (
                ("follow", self.follower.run),
                ("seal", self.capture.run),
                ("upload", self.uploader.run),
            )
        ]
        for thread in threads:
            thread.start()
        try:
            config = uvicorn.Config(
                self.app,  # pyright: ignore[reportArgumentType] (our narrower ASGI types)
                access_log=False,
                log_config=None,
                server_header=False,
                lifespan="off",
                ws="none",
                timeout_keep_alive=75,
                timeout_graceful_shutdown=FINISH_S,
            )
            with asyncio.Runner(loop_factory=config.get_loop_factory()) as runner:
                runner.run(self._serve(_Server(config), listener, ready))
        finally:
            self._stop.set()
            self.uploader.wake()
            # The follower may sit in a long poll; it is not waited for.
            for thread in threads[1:]:
                thread.join(timeout=UPLOAD_S)
            self.capture.tick(older_than_s=0)
            if not self.uploader.drain(timeout_s=UPLOAD_S):
                _LOG.warning("%d segments are sent at the next start", self.uploader.waiting())

    def stop(self) -> None:
        """Begin to stop; may be called from any thread."""
        loop = self._loop
        if loop is not None:
            with suppress(RuntimeError):  # it has stopped already
                loop.call_soon_threadsafe(self._begin_stop)

    async def _serve(
        self, server: _Server, listener: socket.socket, ready: Callable[[int], None] | None
    ) -> None:
        self._loop, self._server = asyncio.get_running_loop(), server
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT):
                self._loop.add_signal_handler(number, self._begin_stop)
        if ready is not None:
            port = cast("int", listener.getsockname()[1])
            self._loop.call_later(0.01, _when_started, self._loop, server, ready, port)
        await server.serve(sockets=[listener])

    def _begin_stop(self) -> None:
        if self._stop.is_set() or self._server is None or self._loop is None:
            return
        self._stop.set()
        self.app.is_draining = True
        for listening in self._server.servers:
            listening.close()
        self._loop.call_later(DRAIN_S, self._server.leave)

    def _samples(self) -> list[Sample]:
        deployed = self.engine.deployed()
        labels = {name: (("deployment", name),) for name in deployed}
        return [
            Sample(
                "millwright_model_info",
                "gauge",
                "Versions that are loaded and answer.",
                {
                    (
                        ("deployment", name),
                        ("model", each.plan.model),
                        ("version", str(variant.version)),
                        ("role", variant.role),
                        ("digest", variant.digest),
                    ): 1
                    for name, each in deployed.items()
                    for variant in each.plan.variants
                },
            ),
            Sample(
                "millwright_plan_revision",
                "gauge",
                "Revision of the plan that is acted on.",
                {labels[name]: each.plan.revision for name, each in deployed.items()},
            ),
            Sample(
                "millwright_model_load_failures_total",
                "counter",
                "Plans that could not be acted on.",
                {(): self.follower.load_failures},
            ),
            Sample(
                "millwright_control_plane_last_contact_timestamp_seconds",
                "gauge",
                "When the control plane last gave plans; 0 when it never did.",
                {(): self.follower.last_contact_us / US_PER_S},
            ),
            Sample(
                "millwright_segments_sealed_total",
                "counter",
                "Decision segments sealed by this process.",
                {(): self.capture.sealed},
            ),
            Sample(
                "millwright_segments_sent_total",
                "counter",
                "Decision segments that the control plane has anchored.",
                {(): self.uploader.sent},
            ),
            Sample(
                "millwright_segments_refused_total",
                "counter",
                "Decision segments that the control plane did not take; kept on disk.",
                {(): self.uploader.refused},
            ),
            Sample(
                "millwright_segments_waiting",
                "gauge",
                "Decision segments on disk that are not anchored yet.",
                {(): self.uploader.waiting() + self.capture.waiting()},
            ),
        ]


class _Server(uvicorn.Server):
    """uvicorn's server, with the signals left to us: it would end the process by them."""

    servers: list[asyncio.Server]

    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield

    def leave(self) -> None:
        """Finish what is under way, then return from `serve`."""
        self.should_exit = True


def serve(
    control: ControlPlane,
    *,
    host: str,
    port: int,
    state: Path,
    instance: str,
    ready: Callable[[int], None] | None = None,
    protocols: Sequence[WireProtocol] | None = None,
    load: Load | None = None,
) -> None:
    """Follow the control plane's plans and answer requests until SIGTERM or SIGINT.

    `state` holds what must outlive the process: plans, packages, unsent decisions. When `port`
    is taken the next free one is; `ready` is called with the port once requests are taken.
    Without `protocols` all that are installed are spoken; without `load` packages are loaded as
    the registry does. Raises Conflict when another process uses the same folder, and
    Unreachable when no port is to be had.
    """
    protocols = protocols or installed_protocols()
    sys.setswitchinterval(_SWITCH_S)
    with exclusive(state), ThreadPoolExecutor(_pool_size(), "serving-model") as pool:
        service = Service(
            control,
            state=state,
            instance=instance,
            protocols=protocols,
            load=load or load_model,
            clock=SystemClock(),
            pool=pool,
        )
        service.run(listen(host, port), ready)


def installed_protocols() -> list[WireProtocol]:
    """Return the installed wire protocols, by name; raises Unsupported when there is none."""
    found = [
        cast("Callable[[], WireProtocol]", plugins.load(GROUP, name))()
        for name in plugins.names(GROUP)
    ]
    if not found:
        raise Unsupported("no wire protocol is installed", fix="install millwright again")
    return found


def load_model(folder: Path, digest: Digest) -> LoadedModel:
    """Load a package, which must hold the model of that digest."""
    return load_package(folder, expected=digest)


@contextmanager
def exclusive(state: Path) -> Generator[None]:
    """Hold a serving process's folder for the `with` block; raises Conflict when it is in use."""
    try:
        state.mkdir(parents=True, exist_ok=True, mode=0o700)
        handle = os.open(state / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise explain(error, f"cannot keep state in {state}") from error
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(handle)
        raise Conflict(
            f"another process serves from {state}",
            fix="stop it, or give this one a folder of its own",
        ) from error
    try:
        yield
    finally:
        os.close(handle)


def listen(host: str, port: int) -> socket.socket:
    """Return a listening socket on `port`, or the next free one after it; 0 takes any.

    Raises Unreachable when there is none.
    """
    reason = ""
    for candidate in range(port, port + (PORTS_TRIED if port else 1)):
        try:
            family, kind, protocol, _, address = socket.getaddrinfo(
                host, candidate, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
            )[0]
            found = socket.socket(family, kind, protocol)
        except OSError as error:
            raise Unreachable(f"cannot listen on {host}", why=str(error)) from error
        try:
            found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            found.bind(address)
            found.listen(2048)
        except OSError as error:
            found.close()
            reason = str(error)
            continue
        return found
    raise Unreachable(
        f"cannot listen on {host}, ports {port} to {port + PORTS_TRIED - 1}",
        why=reason,
        fix="name another port",
    )


def _pool_size() -> int:
    return max(2, os.cpu_count() or 1)


def _when_started(
    loop: asyncio.AbstractEventLoop,
    server: _Server,
    ready: Callable[[int], None],
    port: int,
) -> None:
    if server.started:
        ready(port)
    else:
        loop.call_later(0.01, _when_started, loop, server, ready, port)
