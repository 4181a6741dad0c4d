"""One command at work: what was asked for on the command line, the door, and the terminal.

Results go to stdout, everything else to stderr. With `--json` the result is the record itself,
one document. The rooms behind the door are imported when the door is opened: a command that
needs none must not wait for them.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

import msgspec

from millwright.cli import text
from millwright.core.errors import (
    Denied,
    Failed,
    MillwrightError,
    Unauthenticated,
    Unreachable,
    Unsupported,
)
from millwright.records.runs import Problem

if TYPE_CHECKING:
    from millwright.doors.door import Door
    from millwright.workspace.config import Config
    from millwright.workspace.open import Workspace

INTERRUPTED = 130
"""The exit code of a command that was stopped by hand: 128 and the signal's number."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """The options that every command takes."""

    home: Path | None = None
    url: str | None = None
    project: str | None = None
    actor: str | None = None
    json: bool = False
    quiet: bool = False
    yes: bool = False
    debug: bool = False


class Session:
    """What a verb works with; `session()` returns the one at work."""

    def __init__(self, given: Given, environment: Mapping[str, str]) -> None:
        self.given = given
        self.environment = environment

    def config(self) -> Config:
        """Return the settings that hold here; raises Invalid for a faulty `millwright.toml`."""
        from millwright.workspace.config import load_config

        return load_config(
            environment=self.environment,
            folder=Path.cwd(),
            home=self.given.home,
            url=self.given.url,
            project=self.given.project,
            actor=self.given.actor,
        )

    @contextmanager
    def door(self) -> Generator[Door]:
        """Open the door that the settings name: a server's with a URL, else the home's."""
        config = self.config()
        if config.url is None:
            with self.workspace(config) as workspace:
                yield cast("Door", workspace)
            return
        from millwright.client.services import Client

        with _advised(config.url), Client(config.url, config.token, config.project) as client:
            yield client

    @contextmanager
    def workspace(self, config: Config | None = None) -> Generator[Workspace]:
        """Open the home on this machine; raises Unsupported where the settings name a server."""
        config = config or self.config()
        if config.url is not None:
            raise Unsupported(
                "this command works on a home of this machine",
                why=f"the settings name the server at {config.url}",
                fix="name the home: --home DIR",
            )
        from millwright.workspace.open import Workspace

        with Workspace.open(config) as workspace:
            yield workspace

    def names(self, door: Door) -> Mapping[str, str]:
        """Return the names of actors by id; for who may not see them, only his own."""
        try:
            return {one.id: one.name for one in door.access.actors()}
        except Denied:
            me = door.access.whoami()
            return {me.id: me.name}

    def answer(
        self, record: object, lines: Callable[[], Iterable[str]], *, empty: str = ""
    ) -> None:
        """Print a result: the record with `--json`, else the lines.

        `empty` says, on stderr, how to fill a listing that is empty; a listing that is not
        empty has a record that counts as true.
        """
        if self.given.json:
            self.print_json(record)
            return
        if empty and not record:
            self.say(empty)
            return
        self.write("".join(f"{line}\n" for line in lines()))

    def print_json(self, record: object) -> None:
        """Print one JSON document, spread over lines where a person reads it."""
        data = msgspec.json.encode(record)
        if _is_terminal(sys.stdout):
            data = msgspec.json.format(data, indent=2)
        self.write(data.decode() + "\n")

    def write(self, text: str) -> None:
        """Write to stdout; whoever no longer reads it does not change how the command ends."""
        try:
            sys.stdout.write(text)
            sys.stdout.flush()
        except BrokenPipeError:
            drop_stdout()

    def say(self, *lines: str) -> None:
        """Say what may be done next, to a person; a program that reads `--json` needs none."""
        if not self.given.json:
            self.tell(*lines)

    def tell(self, *lines: str) -> None:
        """Tell how it goes, on stderr, unless `--quiet`."""
        if not self.given.quiet:
            self.complain(*lines)

    def complain(self, *lines: str) -> None:
        """Tell something on stderr, even with `--quiet`."""
        for line in lines:
            print(line, file=sys.stderr, flush=True)  # noqa: T201 - this is the one place

    def show_error(self, error: MillwrightError) -> None:
        """Print an error: words on stderr, and with `--json` the problem on stdout."""
        if self.given.json:
            problem = Problem(code=error.code, what=error.what, why=error.why, fix=error.fix)
            self.print_json(problem)
        first, *rest = text.explained(error)
        self.complain(self.paint(first, "bad", on_stderr=True), *rest)

    def paint(self, words: str, style: text.Style, *, on_stderr: bool = False) -> str:
        """Return the words in colour where a terminal shows them and nobody asked for none."""
        stream = sys.stderr if on_stderr else sys.stdout
        if not _is_terminal(stream) or self.environment.get("NO_COLOR"):
            return words
        return words if self.environment.get("TERM") == "dumb" else text.paint(words, style)

    def confirm(self, question: str) -> None:
        """Ask before something is undone or ended; nobody is asked in a script or with `--yes`."""
        if self.given.yes or not _is_terminal(sys.stdin):
            return
        import typer

        typer.confirm(question, abort=True, err=True)

    def would(self, operation: str, *, found: Sequence[str] = (), **arguments: object) -> None:
        """Print what `--dry-run` kept from happening: the operation and its arguments.

        `found` says what was checked already.
        """
        plan: dict[str, object] = {"dry_run": True, "operation": operation, "arguments": arguments}
        if found:
            plan["found"] = list(found)

        def lines() -> list[str]:
            given = {
                name: value if isinstance(value, str) else msgspec.json.encode(value).decode()
                for name, value in arguments.items()
                if value is not None and value != ""
            }
            return [f"would {_in_words(operation)}", *text.indented(text.facts(given)), *found]

        self.answer(plan, lines)
        self.say("Nothing was changed. Leave --dry-run out to do it.")


_CURRENT: ContextVar[Session] = ContextVar("millwright_cli_session")


def session() -> Session:
    """Return the command at work."""
    return _CURRENT.get()


@contextmanager
def working(current: Session) -> Generator[Session]:
    """Make `current` the command at work."""
    token = _CURRENT.set(current)
    try:
        yield current
    finally:
        _CURRENT.reset(token)


def _in_words(operation: str) -> str:
    """Return an operation of the door as words.

    >>> _in_words("models.promote"), _in_words("access.create_project"), _in_words("import")
    ('promote model', 'create project', 'import')
    """
    noun, _, verb = operation.partition(".")
    if not verb:
        return noun
    if verb == "roll_out":
        return "roll out model"
    one = noun if noun in {"access", "labels", "runs"} else noun.removesuffix("s")
    verb, _, what = verb.partition("_")
    return f"{verb} {what or one}"


def drop_stdout() -> None:
    """Send what is still written to stdout nowhere: its reader has gone."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


@contextmanager
def _advised(url: str) -> Generator[None]:
    """Have errors of the server at `url` say what to do on a command line."""
    try:
        yield
    except Unauthenticated as error:
        fix = "set MILLWRIGHT_TOKEN; a token is made there by: mill token create NAME"
        raise Unauthenticated(error.what, why=error.why, fix=fix) from error
    except (Failed, Unreachable) as error:
        base, _, project = url.rstrip("/").rpartition("/projects/")
        if not base or not project or "/" in project:
            raise
        raise type(error)(
            error.what,
            why=error.why or "the address of a server ends before /projects",
            fix=f"name the project by itself: --url {base} --project {project}",
        ) from error


def _is_terminal(stream: object) -> bool:
    is_terminal = getattr(stream, "isatty", None)
    return bool(is_terminal and is_terminal())
