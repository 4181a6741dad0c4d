"""Errors as MLflow's clients know them: `{"error_code": …, "message": …}` and a status."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from types import MappingProxyType

import msgspec

from millwright.core.errors import (
    Conflict,
    Corrupt,
    Denied,
    Failed,
    Invalid,
    MillwrightError,
    NeedsApproval,
    NotFound,
    Refused,
    TimedOut,
    Unauthenticated,
    Unreachable,
    Unsupported,
)

INVALID = "INVALID_PARAMETER_VALUE"
MISSING = "RESOURCE_DOES_NOT_EXIST"
EXISTS = "RESOURCE_ALREADY_EXISTS"
DENIED = "PERMISSION_DENIED"
NO_ENDPOINT = "ENDPOINT_NOT_FOUND"
INTERNAL = "INTERNAL_ERROR"

STATUS: Mapping[str, int] = MappingProxyType(
    {
        INVALID: 400,
        EXISTS: 400,
        "BAD_REQUEST": 400,
        "UNAUTHENTICATED": 401,
        DENIED: 403,
        MISSING: 404,
        NO_ENDPOINT: 404,
        "RESOURCE_CONFLICT": 409,
        "REQUEST_LIMIT_EXCEEDED": 429,
        "INVALID_STATE": 500,
        INTERNAL: 500,
        "NOT_IMPLEMENTED": 501,
        "TEMPORARILY_UNAVAILABLE": 503,
        "DEADLINE_EXCEEDED": 504,
    }
)
"""Code -> status, as MLflow's server answers."""


class MlflowError(Exception):
    """An error with MLflow's own code and text."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message

    @property
    def status(self) -> int:
        """The HTTP status that goes with the code."""
        return STATUS[self.code]

    def body(self) -> bytes:
        """Return the document that a client reads."""
        # A message may quote what is no text, and is answered all the same.
        message = self.message.encode(errors="replace").decode()
        return msgspec.json.encode({"error_code": self.code, "message": message})


def invalid(message: str) -> MlflowError:
    """Return the error that a parameter cannot be what it is."""
    return MlflowError(INVALID, message)


def missing(message: str) -> MlflowError:
    """Return the error that there is no such thing."""
    return MlflowError(MISSING, message)


def failed(known_as: str, code: str = INTERNAL) -> MlflowError:
    """Return the error that says no more than under which request the log has it."""
    under = f" under {known_as}" if known_as else ""
    return MlflowError(code, f"The server failed on this request; its log has it{under}")


def is_for_the_log(error: MillwrightError) -> bool:
    """Tell whether an error's text is not for clients: it may hold SQL, hosts and paths."""
    return isinstance(error, Failed | Unreachable) and not isinstance(error, Unsupported)


def translated(error: MillwrightError, known_as: str = "") -> MlflowError:
    """Return an error of ours in MLflow's terms, its reason and advice in the message.

    Of one that is for the log the message says only under which request the log has it.
    """
    match error:
        case Unauthenticated():
            code = "UNAUTHENTICATED"
        case Corrupt():
            code = INTERNAL  # A refusal in our tree, but nobody's who asks.
        case Denied() | Refused() | NeedsApproval():
            code = DENIED
        case NotFound():
            code = MISSING
        case Invalid():
            code = INVALID
        case Conflict():
            code = "RESOURCE_CONFLICT"
        case TimedOut() | Unreachable():
            code = "TEMPORARILY_UNAVAILABLE"
        case Unsupported():
            code = "NOT_IMPLEMENTED"
        case _:
            code = INTERNAL
    if is_for_the_log(error):
        return failed(known_as, code)
    return MlflowError(code, ". ".join(part for part in (error.what, error.why, error.fix) if part))


@contextmanager
def no_such(message: str) -> Generator[None]:
    """Turn a NotFound of the block into MLflow's own words for it."""
    try:
        yield
    except NotFound as error:
        raise missing(message) from error
