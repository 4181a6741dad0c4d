from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fixtures.foreign import contents, unread_of
from millwright.artifacts.paths import parse_artifact_path
from millwright.core.errors import Invalid, NotFound
from millwright.tracking.sources.paths import as_path, check_folder, list_files


@given(st.text(max_size=300))
def test_any_name_becomes_a_path_that_stays_inside(name: str) -> None:
    path = as_path(name)
    parse_artifact_path(path)
    assert ".." not in path.split("/")


@given(st.text(max_size=40), st.text(max_size=40))
def test_two_names_never_become_one_path(one: str, other: str) -> None:
    # Empty parts mean nothing to a path.
    if [part for part in one.split("/") if part] != [part for part in other.split("/") if part]:
        assert as_path(one) != as_path(other)


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("train/loss", "train/loss"),
        ("../../etc/passwd", "%2E%2E/%2E%2E/etc/passwd"),
        ("/absolute", "absolute"),
        ("a\\b", "a%5Cb"),
        ("C:/x", "C%3A/x"),
        ("%2e", "%252e"),
        ("a\nb", "a%0Ab"),
        ("", "%"),
    ],
)
def test_what_a_path_cannot_hold_is_encoded(name: str, path: str) -> None:
    assert as_path(name) == path


def test_long_names_that_begin_alike_stay_two() -> None:
    one, other = as_path("x" * 400 + "1"), as_path("x" * 400 + "2")
    assert one != other
    assert len(one) <= 120


def test_files_below_a_folder_are_listed_by_name(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "two.txt").write_text("2")
    (tmp_path / "one.txt").write_text("1")
    found = list(list_files(tmp_path, above="kept/"))
    assert contents(found, tmp_path) == {"kept/b/two.txt": b"2", "kept/one.txt": b"1"}
    assert unread_of(found) == []


def test_a_link_that_leads_outside_is_named_and_not_followed(tmp_path: Path) -> None:
    inside = tmp_path / "in"
    inside.mkdir()
    (tmp_path / "secret").write_text("secret")
    (inside / "own.txt").write_text("own")
    (inside / "outside").symlink_to(tmp_path / "secret")
    (inside / "nowhere").symlink_to(tmp_path / "missing")
    (inside / "inside").symlink_to(inside / "own.txt")
    (inside / "round").symlink_to(inside)
    (inside / "itself").symlink_to(inside / "itself")
    os.mkfifo(inside / "pipe")
    found = list(list_files(inside))
    assert contents(found, tmp_path) == {"own.txt": b"own", "inside": b"own"}
    assert unread_of(found) == [
        f"{inside}/itself: it is a link that leads nowhere",
        f"{inside}/nowhere: it is a link that leads nowhere",
        f"{inside}/outside: it is a link that leads outside, to {tmp_path}/secret",
        f"{inside}/pipe: it is neither a file nor a folder",
        f"{inside}/round: it is a link to something that is no file",
    ]
    followed = contents(list_files(inside, follow_links=True), tmp_path)
    assert followed["outside"] == b"secret"


def test_a_name_that_no_tree_can_hold_is_named(tmp_path: Path) -> None:
    (tmp_path / "a\\b").write_text("x")
    assert unread_of(list_files(tmp_path)) == [
        f"{tmp_path}/a\\b: 'a\\\\b' cannot be a path in a tree: it holds a backslash"
    ]


def test_only_a_folder_is_one(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(NotFound, match="there is no logdir at"):
        check_folder(tmp_path / "missing", "logdir")
    with pytest.raises(Invalid, match="it is not a folder"):
        check_folder(tmp_path / "file", "logdir")
    assert check_folder(tmp_path, "logdir") == tmp_path.resolve()
