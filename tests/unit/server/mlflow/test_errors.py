from __future__ import annotations

import json

import pytest

from millwright.core.errors import (
    BY_CODE,
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
from millwright.server.mlflow.errors import STATUS, MlflowError, is_for_the_log, no_such, translated


@pytest.mark.parametrize(
    ("error", "code", "status"),
    [
        (Invalid, "INVALID_PARAMETER_VALUE", 400),
        (Unauthenticated, "UNAUTHENTICATED", 401),
        (Denied, "PERMISSION_DENIED", 403),
        (Refused, "PERMISSION_DENIED", 403),
        (NeedsApproval, "PERMISSION_DENIED", 403),
        (Corrupt, "INTERNAL_ERROR", 500),
        (NotFound, "RESOURCE_DOES_NOT_EXIST", 404),
        (Conflict, "RESOURCE_CONFLICT", 409),
        (Unsupported, "NOT_IMPLEMENTED", 501),
        (TimedOut, "TEMPORARILY_UNAVAILABLE", 503),
    ],
)
def test_ours_in_mlflows_terms(error: type[MillwrightError], code: str, status: int) -> None:
    found = translated(error("what happened", why="the reason", fix="what to do"))
    assert (found.code, found.status) == (code, status)
    said = {"error_code": code, "message": "what happened. the reason. what to do"}
    assert json.loads(found.body()) == said


@pytest.mark.parametrize(
    ("error", "code", "status"),
    [(Failed, "INTERNAL_ERROR", 500), (Unreachable, "TEMPORARILY_UNAVAILABLE", 503)],
)
def test_what_a_database_says_is_for_the_log(
    error: type[MillwrightError], code: str, status: int
) -> None:
    raised = error("PostgreSQL at db.inner:5432 was lost: SELECT 1", why="SELECT", fix="LINE 1")
    assert is_for_the_log(raised)
    found = translated(raised, "req_1")
    assert (found.code, found.status) == (code, status)
    assert found.message == "The server failed on this request; its log has it under req_1"


def test_a_message_that_is_no_text_is_answered_all_the_same() -> None:
    assert json.loads(MlflowError("BAD_REQUEST", "no \ud800").body())["message"] == "no ?"


def test_every_error_of_ours_has_a_status() -> None:
    for kind in BY_CODE.values():
        assert translated(kind("x")).code in STATUS


def test_what_is_not_there_is_said_in_mlflows_words() -> None:
    with pytest.raises(MlflowError, match="No Experiment") as raised, no_such("No Experiment"):
        raise NotFound("ours")
    assert raised.value.status == 404
