"""Every error Millwright raises on purpose, in one tree.

    MillwrightError                 code            exit  HTTP
    ├── Invalid                     invalid            2   400   what was given cannot be right
    ├── NotFound                    not-found          3   404   nothing has that name
    ├── Denied                      denied             4   403   the actor may not do this
    │   └── Unauthenticated         unauthenticated    4   401   nobody knows who is asking
    ├── Refused                     refused            5   422   a gate, check or proof said no
    │   └── Corrupt                 corrupt            5   500   stored bytes are not what they were
    ├── Conflict                    conflict           6   409   the state does not allow it now
    │   └── NeedsApproval           needs-approval     6   409   somebody else must agree first
    ├── Unreachable                 unreachable        7   503   another system does not answer
    ├── TimedOut                    timed-out          8   504   it took longer than allowed
    └── Failed                      failed             1   500   the work was tried and broke
        └── Unsupported             unsupported        1   501   this version cannot do that

A message has three parts: what happened (with the value), why, and what to do next.
Errors are turned into terminal text in `cli.text` and into problem+json in `server.problems`.
"""

from __future__ import annotations

from typing import ClassVar


class MillwrightError(Exception):
    """The root of the tree; `code`, `exit_code` and `status` are stable and documented."""

    code: ClassVar[str] = "error"
    exit_code: ClassVar[int] = 1
    status: ClassVar[int] = 500

    def __init__(self, what: str, *, why: str = "", fix: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.why = why
        self.fix = fix

    def __reduce__(self) -> tuple[object, ...]:
        return _revive, (type(self), self.what, self.why, self.fix)

    def __str__(self) -> str:
        return "\n".join(part for part in (self.what, self.why, self.fix) if part)


def _revive(kind: type[MillwrightError], what: str, why: str, fix: str) -> MillwrightError:
    return kind(what, why=why, fix=fix)


class Invalid(MillwrightError):
    """What was given cannot be right; trying again unchanged will not help."""

    code = "invalid"
    exit_code = 2
    status = 400


class NotFound(MillwrightError):
    """Nothing has that name, version, alias or id."""

    code = "not-found"
    exit_code = 3
    status = 404


class Denied(MillwrightError):
    """The actor is known and may not do this."""

    code = "denied"
    exit_code = 4
    status = 403


class Unauthenticated(Denied):
    """No credentials, or credentials nobody issued."""

    code = "unauthenticated"
    status = 401


class Refused(MillwrightError):
    """A gate, a check or an expectation was evaluated and said no."""

    code = "refused"
    exit_code = 5
    status = 422


class Corrupt(Refused):
    """Stored bytes do not match their digest, their proof or their format."""

    code = "corrupt"
    status = 500


class Conflict(MillwrightError):
    """The state does not allow this now; another state would."""

    code = "conflict"
    exit_code = 6
    status = 409


class NeedsApproval(Conflict):
    """The request is recorded and waits for somebody else's yes."""

    code = "needs-approval"


class Unreachable(MillwrightError):
    """Another system (database, server, store) does not answer."""

    code = "unreachable"
    exit_code = 7
    status = 503


class TimedOut(MillwrightError):
    """It took longer than the caller allowed; it may still be going on."""

    code = "timed-out"
    exit_code = 8
    status = 504


class Failed(MillwrightError):
    """The work was tried and broke."""

    code = "failed"


class Unsupported(Failed):
    """This version of Millwright cannot do that."""

    code = "unsupported"
    status = 501


BY_CODE: dict[str, type[MillwrightError]] = {
    kind.code: kind
    for kind in (
        Invalid,
        NotFound,
        Denied,
        Unauthenticated,
        Refused,
        Corrupt,
        Conflict,
        NeedsApproval,
        Unreachable,
        TimedOut,
        Failed,
        Unsupported,
    )
}
"""What a client needs to raise, from a problem document's code, the error the server raised."""
