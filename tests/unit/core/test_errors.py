from __future__ import annotations

import pickle

from millwright.core import errors
from millwright.core.errors import BY_CODE, MillwrightError, NotFound

# The codes and numbers people and scripts rely on; a change here is a breaking change.
STABLE = {
    "invalid": (2, 400),
    "not-found": (3, 404),
    "denied": (4, 403),
    "unauthenticated": (4, 401),
    "refused": (5, 422),
    "corrupt": (5, 500),
    "conflict": (6, 409),
    "needs-approval": (6, 409),
    "unreachable": (7, 503),
    "timed-out": (8, 504),
    "failed": (1, 500),
    "unsupported": (1, 501),
}


def test_codes_exits_and_statuses_are_as_documented_and_complete() -> None:
    assert {code: (kind.exit_code, kind.status) for code, kind in BY_CODE.items()} == STABLE
    kinds = {
        kind
        for kind in vars(errors).values()
        if isinstance(kind, type) and issubclass(kind, MillwrightError)
    }
    assert kinds - {MillwrightError} == set(BY_CODE.values())


def test_the_text_holds_what_why_and_fix_and_skips_what_is_empty() -> None:
    assert str(NotFound("no model x", why="there are none", fix="mill model list")) == (
        "no model x\nthere are none\nmill model list"
    )
    assert str(NotFound("no model x")) == "no model x"


def test_an_error_crosses_a_process_boundary() -> None:
    back = pickle.loads(pickle.dumps(NotFound("a", fix="c")))
    assert (type(back), str(back)) == (NotFound, "a\nc")
