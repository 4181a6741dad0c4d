import errno
import os
from pathlib import Path

import pytest

from millwright.artifacts.files import Aside, explain, read_pieces, sync_folder
from millwright.core.errors import Denied, Failed, MillwrightError


@pytest.mark.parametrize(
    ("number", "kind", "why"),
    [
        (errno.EACCES, Denied, "Permission denied: /f"),
        (errno.EPERM, Denied, "Operation not permitted: /f"),
        (errno.EROFS, Denied, "Read-only file system: /f"),
        (errno.ENOSPC, Failed, "the disk or quota is full (No space left on device: /f)"),
        (errno.EDQUOT, Failed, "the disk or quota is full (Disk quota exceeded: /f)"),
        (
            errno.EFBIG,
            Failed,
            "the file is larger than the file system or a limit allows (File too large: /f)",
        ),
        (
            errno.ENOENT,
            Failed,
            "a folder or file it needs is not there (No such file or directory: /f)",
        ),
        (errno.EIO, Failed, "Input/output error: /f"),
    ],
)
def test_says_why_a_file_system_refused(number: int, kind: type[MillwrightError], why: str) -> None:
    error = explain(OSError(number, os.strerror(number), "/f"), "cannot do it")
    assert (type(error), error.what, error.why) == (kind, "cannot do it", why)


def test_explains_an_error_without_number_or_path() -> None:
    assert str(explain(OSError("strange"), "cannot do it")) == "cannot do it\nstrange"


def test_a_file_aside_takes_its_name_at_the_end(tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.write_bytes(b"old")
    with Aside(tmp_path, mode=0o600, what="cannot write") as aside:
        aside.write(b"new ")
        aside.write(b"bytes")
        assert target.read_bytes() == b"old"
        aside.replace(target)
    assert target.read_bytes() == b"new bytes"
    assert aside.size_bytes == 9
    assert list(tmp_path.iterdir()) == [target]


def test_a_file_aside_that_is_linked_replaces_nothing(tmp_path: Path) -> None:
    target = tmp_path / "target"
    for data in (b"first", b"second"):
        with Aside(tmp_path, mode=0o444, what="cannot write") as aside:
            aside.write(data)
            aside.link_to(target)
    assert target.read_bytes() == b"first"
    assert list(tmp_path.iterdir()) == [target]


def test_a_file_aside_without_a_name_is_removed(tmp_path: Path) -> None:
    with Aside(tmp_path, mode=0o600, what="cannot write") as aside:
        aside.write(b"half")
        assert len(list(tmp_path.iterdir())) == 1
    assert list(tmp_path.iterdir()) == []


def test_a_missing_folder_is_explained(tmp_path: Path) -> None:
    with pytest.raises(Failed, match="cannot write") as caught:
        Aside(tmp_path / "gone", mode=0o600, what="cannot write")
    assert caught.value.fix.startswith("check that the folder exists")


def test_a_folder_in_the_way_is_explained_and_nothing_is_left(tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    with (
        pytest.raises(Failed, match="Is a directory"),
        Aside(tmp_path, mode=0o600, what="cannot write") as aside,
    ):
        aside.replace(tmp_path / "taken")
    assert list(tmp_path.iterdir()) == [tmp_path / "taken"]


def test_reads_in_pieces_of_a_mebibyte(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(bytes(2_500_000))
    with (tmp_path / "f").open("rb") as stream:
        assert [len(piece) for piece in read_pieces(stream)] == [1 << 20, 1 << 20, 402848]


def test_syncing_a_missing_folder_raises_as_the_system_does(tmp_path: Path) -> None:
    sync_folder(tmp_path)
    with pytest.raises(FileNotFoundError):
        sync_folder(tmp_path / "gone")
