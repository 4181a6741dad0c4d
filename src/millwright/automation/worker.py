"""The loop that closes the loop: follow the journal, take looks, work through jobs.

Any number of workers may run. Events are followed by one named follower, whose place moves in
the transaction that enqueues; looks at rollouts and monitors are compare-and-set; jobs are
leased and fenced. Whatever a killed worker leaves, another takes up.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress

import msgspec

from millwright.automation.actions import ATTEMPTS, DEFAULT_ATTEMPTS
from millwright.automation.rules import fill_in, is_cooling, matches
from millwright.core.clock import Clock
from millwright.core.errors import Conflict, MillwrightError
from millwright.jobs.queue import Jobs
from millwright.jobs.worker import Handler
from millwright.jobs.worker import Worker as JobWorker
from millwright.journal.followers import Follower
from millwright.journal.log import Journal
from millwright.metadata.database import Database, Writer
from millwright.metadata.tables import rules as rule_tables
from millwright.metadata.tables.rules import RuleRow
from millwright.records.automation import RuleSpec
from millwright.records.events import Act, Event, Subject
from millwright.records.operation_events import RuleFired

FOLLOWER = "automation"
EVENTS_AT_ONCE = 200
FOLLOW_EVERY_S = 0.2
LEASE_S = 10.0
"""A worker that was killed is missed after this long; a living one says so thrice as often."""

Tick = Callable[[], None]
"""Something to look at regularly; it must not raise for what is merely not due."""

_log = logging.getLogger(__name__)


class Worker:
    """One automation worker; `run` works until it is told to stop."""

    def __init__(
        self,
        database: Database,
        journal: Journal,
        jobs: Jobs,
        clock: Clock,
        *,
        owner: str,
        handlers: Mapping[str, Handler],
        ticks: Mapping[str, Tick],
    ) -> None:
        self._database = database
        self._journal = journal
        self._jobs = jobs
        self._clock = clock
        self._handlers = handlers
        self._ticks = ticks
        self._owner = owner
        self._follower = Follower(journal, FOLLOWER)

    def run(self, stop: threading.Event) -> None:
        """Follow, look and work until `stop` is set; the job at hand is brought to its end."""
        follow = threading.Thread(target=self._keep_following, args=(stop,), daemon=True)
        follow.start()
        jobs = JobWorker(
            self._jobs, self._handlers, self._clock, owner=self._owner, lease_s=LEASE_S
        )
        jobs.run(stop)
        follow.join()

    def follow_once(self) -> int:
        """Let the rules answer new events; return how many jobs were started."""
        started = 0
        events = self._follower.take(EVENTS_AT_ONCE)
        with self._database.read() as tx:
            rules = rule_tables.enabled_rules(tx)
        for event in events:
            answering = [row for row in rules if _answers(row, event)]
            # What no rule answers is passed in one go, with the next that one does.
            if answering or event is events[-1]:
                with self._database.write() as tx:
                    started += sum(self._fire(tx, row, event) for row in answering)
                    self._follower.advance(tx, event.place)
        return started

    def _keep_following(self, stop: threading.Event) -> None:
        while not stop.is_set():
            self._try("rules", self.follow_once)
            for name, tick in self._ticks.items():
                self._try(name, tick)
            stop.wait(FOLLOW_EVERY_S)

    def _try(self, name: str, action: Callable[[], object]) -> None:
        # A Conflict says that another worker was faster, which is as good.
        with suppress(Conflict):
            try:
                action()
            except Conflict:
                raise
            except MillwrightError as error:
                _log.warning("%s: %s", name, error)
            except Exception:  # noqa: BLE001 - a tick may raise anything, and the loop goes on
                _log.exception("%s broke; it is tried again", name)

    def _fire(self, tx: Writer, row: RuleRow, event: Event) -> int:
        spec = row.rule().spec
        if is_cooling(
            spec,
            last_fired_us=rule_tables.last_fired_us(tx, rule=row.id),
            now_us=self._clock.now_us(),
        ):
            return 0
        act = Act(
            actor=row.actor,
            project=row.project,
            project_key=row.project_id,
            reason=f"rule {row.name} on {event.kind}",
            cause=event.id,
        )
        fired = self._journal.append(
            tx,
            act,
            RuleFired(reason=act.reason, name=row.name, job=spec.job),
            [Subject(kind="rule", id=row.id), Subject(kind="event", id=event.id)],
        )
        self._jobs.enqueue(
            spec.job,
            _arguments(spec, event),
            act=msgspec.structs.replace(act, cause=fired),
            tx=tx,
            key=f"{row.id}:{event.id}",
            max_attempts=ATTEMPTS.get(spec.job, DEFAULT_ATTEMPTS),
        )
        return 1


def _answers(row: RuleRow, event: Event) -> bool:
    # What happened before there was the rule is no business of its.
    is_later = event.time_us >= row.created_us
    return is_later and event.project == row.project and matches(row.rule().spec, event)


def _arguments(spec: RuleSpec, event: Event) -> dict[str, object]:
    return {name: fill_in(value, event) for name, value in spec.args.items()}
