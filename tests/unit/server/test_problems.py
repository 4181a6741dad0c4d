"""Errors as problem documents."""

from __future__ import annotations

import pytest

from millwright.core.errors import BY_CODE, MillwrightError
from millwright.core.ids import RequestId
from millwright.server.problems import ProblemDocument, encode_problem, problem_of, unexpected

REQUEST = RequestId("req_1")


@pytest.mark.parametrize("kind", BY_CODE.values())
def test_every_error_of_ours_has_a_document(kind: type[MillwrightError]) -> None:
    document = problem_of(kind("what", why="why", fix="fix"), request=REQUEST)
    assert document.title
    assert document == ProblemDocument(
        type=f"/problems/{kind.code}",
        title=document.title,
        status=kind.status,
        detail="what",
        code=kind.code,
        why="why",
        fix="fix",
        instance="req_1",
    )


def test_what_nobody_foresaw_tells_where_to_look() -> None:
    body = encode_problem(unexpected(REQUEST))
    assert b'"status":500' in body
    assert b"under req_1" in body
