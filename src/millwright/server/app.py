"""The control plane as one ASGI application over a home.

Assembled here from routes that each declare what they need; an application with a route that
does not is not made.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from anyio import CapacityLimiter, fail_after, to_thread
from litestar import Litestar
from litestar.exceptions import HTTPException
from litestar.handlers import HTTPRouteHandler
from litestar.response import Response
from litestar.routes import HTTPRoute

from millwright.core.clock import Clock
from millwright.core.errors import Failed, MillwrightError, Unreachable
from millwright.doors.door import Door
from millwright.records.access import Permission
from millwright.server import artifacts, metrics, openapi, page
from millwright.server.auth import NEEDS, PUBLIC, Caller, Gate, Needs, caller_of
from millwright.server.edge import Edge
from millwright.server.following import LOOK_EVERY_S, PlanFollower
from millwright.server.host import Host
from millwright.server.mlflow.app import MlflowApp, beside
from millwright.server.problems import (
    AnyRequest,
    answer_http,
    answer_known,
    answer_unexpected,
)
from millwright.server.routes import Operations, endpoints

PUBLIC_PATHS = frozenset({"/health", "/ready", openapi.PATH})
"""All that anybody may ask: that we live, that we are ready, and what there is to ask."""
CALL_THREADS = 40
STREAM_THREADS = 16
READY_WITHIN_S = 5.0
LATEST = 20


def create_app(
    host: Host,
    *,
    clock: Clock,
    open_on_loopback: bool = False,
    is_stopping: Callable[[], bool] = lambda: False,
    look_every_s: float = LOOK_EVERY_S,
    call_threads: int = CALL_THREADS,
    more: Sequence[HTTPRouteHandler] = (),
) -> Edge:
    """Return the application that serves `host`.

    `open_on_loopback` lets requests without a token in from this machine, as its own user.
    `is_stopping` tells waiting requests to come to an end. `more` adds routes of other
    protocols. Raises Failed when a route declares no permission.
    """
    calls, counts = CapacityLimiter(call_threads), metrics.Metrics()
    gate = Gate(host, open_on_loopback=open_on_loopback, limiter=calls)
    follower = PlanFollower(host.plan_revision, is_stopping=is_stopping, look_every_s=look_every_s)
    routed = Litestar(
        route_handlers=[
            *Operations(host, follower=follower, limiter=calls).handlers(),
            *artifacts.Streams(host, threads=STREAM_THREADS).handlers(),
            *_own_handlers(host, counts, calls),
            *more,
        ],
        guards=[gate.check],
        exception_handlers={
            MillwrightError: answer_known,
            HTTPException: answer_http,
            Exception: answer_unexpected,
        },
        openapi_config=None,
        logging_config=None,
    )
    check_declared(routed)
    mlflow = MlflowApp(host, clock=clock, open_on_loopback=open_on_loopback)
    routed.on_shutdown.append(mlflow.close)
    return Edge(beside(routed, mlflow), metrics=counts, clock=clock)


def check_declared(app: Litestar) -> None:
    """Raise Failed, naming them, when routes of `app` do not say who may use them."""
    open_routes: list[str] = []
    for route in app.routes:
        if not isinstance(route, HTTPRoute):
            open_routes.append(f"{route.path} (not an HTTP route)")
            continue
        for handler in route.route_handlers:
            # Litestar adds these by itself; the edge lets no such request reach them.
            if handler.http_methods == {"OPTIONS"}:
                continue
            needs = handler.opt.get(NEEDS)
            public = isinstance(needs, Needs) and needs.is_public
            if not isinstance(needs, Needs) or (public and route.path not in PUBLIC_PATHS):
                open_routes.append(f"{' '.join(sorted(handler.http_methods))} {route.path}")
    if open_routes:
        raise Failed(
            f"routes without a declared permission: {', '.join(sorted(open_routes))}",
            why="what declares none would be open to everybody",
            fix="declare it with the route, or name the path among PUBLIC_PATHS",
        )


def _own_handlers(
    host: Host, counts: metrics.Metrics, limiter: CapacityLimiter
) -> Iterable[HTTPRouteHandler]:
    document = openapi.describe(endpoints())

    async def health() -> Response[bytes]:
        return Response(b'{"live":true}', media_type="application/json")

    async def ready() -> Response[bytes]:
        try:
            with fail_after(READY_WITHIN_S):
                await to_thread.run_sync(
                    host.plan_revision, abandon_on_cancel=True, limiter=limiter
                )
        except TimeoutError as error:
            raise Unreachable(
                "the home does not answer", why=f"it took more than {READY_WITHIN_S:g} s"
            ) from error
        return Response(b'{"ready":true}', media_type="application/json")

    async def described() -> Response[bytes]:
        return Response(document, media_type="application/vnd.oai.openapi+json;version=3.1")

    async def measured(request: AnyRequest) -> Response[str]:
        caller = caller_of(request)
        status = await to_thread.run_sync(_door(host, caller).jobs.status, limiter=limiter)
        gauges = [
            ("millwright_journal_events", "Events in the journal.", status.events),
            ("millwright_jobs_queued", "Jobs that wait for a worker.", status.queued_jobs),
            ("millwright_jobs_running", "Jobs a worker has claimed.", status.running_jobs),
        ]
        return Response(counts.expose(gauges), media_type=metrics.MEDIA_TYPE)

    async def front(request: AnyRequest) -> Response[str]:
        caller = caller_of(request)
        seen = await to_thread.run_sync(lambda: _look(host, caller), limiter=limiter)
        return Response(
            page.render(seen),
            media_type="text/html",
            headers={"Content-Security-Policy": page.SECURITY_POLICY},
        )

    read = Needs((Permission.PROJECT_READ,))
    for path, needs, answer in (
        ("/", read, front),
        ("/metrics", read, measured),
        ("/health", PUBLIC, health),
        ("/ready", PUBLIC, ready),
        (openapi.PATH, PUBLIC, described),
    ):
        yield HTTPRouteHandler(path, http_method="GET", opt={NEEDS: needs})(answer)


def _look(host: Host, caller: Caller) -> page.Seen:
    door = _door(host, caller)
    return page.Seen(
        status=door.jobs.status(),
        deployments=door.deployments.list_all() if caller.may(Permission.DEPLOYMENT_READ) else None,
        alerts=door.alerts.list_all(limit=LATEST) if caller.may(Permission.ALERT_READ) else None,
        events=door.audit.events(limit=LATEST, newest_first=True)
        if caller.may(Permission.AUDIT_READ)
        else None,
        actors={one.id: one.name for one in door.access.actors()}
        if caller.may(Permission.USER_READ)
        else {},
    )


def _door(host: Host, caller: Caller) -> Door:
    return host.door(caller.principal, caller.project, request=caller.request)
