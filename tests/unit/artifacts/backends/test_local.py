import os
import resource
import signal
import stat
import subprocess
import sys
import tempfile
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from millwright.artifacts.backend import Backend, Key
from millwright.artifacts.backends.local import LocalBackend
from millwright.core.clock import SystemClock
from millwright.core.errors import Denied, Failed, NotFound
from millwright.testing.artifacts import BackendSuite

HOUR_S = 3600
NOBODY = 65534


class TestLocalBackend(BackendSuite):
    @pytest.fixture
    def backend(self, tmp_path: Path) -> LocalBackend:
        return LocalBackend(tmp_path)


@pytest.fixture
def local(tmp_path: Path) -> LocalBackend:
    return LocalBackend(tmp_path)


class ClockAt:
    """A clock that stands `ahead_s` seconds away from the machine's."""

    def __init__(self, ahead_s: float) -> None:
        self._ahead_us = int(ahead_s * 1_000_000)

    def now_us(self) -> int:
        return SystemClock().now_us() + self._ahead_us

    def monotonic_s(self) -> float:
        return 0.0

    def sleep(self, seconds: float) -> None:
        raise AssertionError(seconds)


def test_a_local_backend_is_a_backend(local: LocalBackend) -> None:
    assert isinstance(local, Backend)


def test_lays_objects_out_by_key_read_only(local: LocalBackend, tmp_path: Path) -> None:
    local.put(Key("ab/cdef"), [b"bytes"])
    path = tmp_path / "objects" / "ab" / "cdef"
    assert path.read_bytes() == b"bytes"
    assert stat.S_IMODE(path.stat().st_mode) & 0o222 == 0
    assert path.stat().st_nlink == 1
    assert list((tmp_path / "tmp").iterdir()) == []
    assert local.place(Key("ab/cdef")) == str(path)


def test_opening_a_backend_writes_nothing(local: LocalBackend, tmp_path: Path) -> None:
    assert not local.has(Key("ab/cd"))
    assert local.sweep(older_than_s=0, clock=SystemClock()) == 0
    assert list(tmp_path.iterdir()) == []


PUT_AND_WAIT = """
import sys
from millwright.artifacts.backend import Key
from millwright.artifacts.backends.local import LocalBackend

def pieces():
    yield b"x" * 3_000_000
    print("half", flush=True)
    sys.stdin.read()

LocalBackend(sys.argv[1]).put(Key("ab/cd"), pieces())
"""


def test_a_writer_killed_half_way_leaves_only_a_leftover_to_sweep(
    local: LocalBackend, tmp_path: Path
) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", PUT_AND_WAIT, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "half\n"
        writer.send_signal(signal.SIGKILL)
        assert writer.wait() == -signal.SIGKILL
    assert not local.has(Key("ab/cd"))
    assert list(local.list_keys()) == []
    assert len(list((tmp_path / "tmp").iterdir())) == 1

    local.put(Key("ab/cd"), [b"whole"])
    assert _read(local, "ab/cd") == b"whole"

    assert local.sweep(older_than_s=HOUR_S, clock=SystemClock()) == 0
    assert local.sweep(older_than_s=HOUR_S, clock=ClockAt(2 * HOUR_S)) == 1
    assert list((tmp_path / "tmp").iterdir()) == []
    assert _read(local, "ab/cd") == b"whole"


PUT_MANY = """
import sys
from millwright.artifacts.backend import Key
from millwright.artifacts.backends.local import LocalBackend

backend, worker = LocalBackend(sys.argv[1]), sys.argv[2]
print("ready", flush=True)
sys.stdin.readline()
for number in range(15):
    backend.put(Key(f"{number:02}/shared"), [b"%d" % number] * 5000)
    backend.put(Key(f"{number:02}/own-{worker}"), [worker.encode()])
"""


def test_processes_put_the_same_and_different_objects_at_once(
    local: LocalBackend, tmp_path: Path
) -> None:
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", PUT_MANY, str(tmp_path), str(worker)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for worker in range(4)
    ]
    for writer in writers:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "ready\n"
    for writer in writers:
        writer.communicate("go\n")
    assert [writer.returncode for writer in writers] == [0, 0, 0, 0]

    expected = {f"{number:02}/shared": b"%d" % number * 5000 for number in range(15)} | {
        f"{number:02}/own-{worker}": b"%d" % worker for number in range(15) for worker in range(4)
    }
    found: dict[str, bytes] = {}
    for key in local.list_keys():
        with local.open(key) as stream:
            found[key] = stream.read()
    assert found == expected
    assert list((tmp_path / "tmp").iterdir()) == []


def test_a_leftover_swept_under_a_slow_writer_fails_it_and_stores_nothing(
    local: LocalBackend,
) -> None:
    def pieces() -> Iterator[bytes]:
        yield b"slow"
        assert local.sweep(older_than_s=HOUR_S, clock=ClockAt(2 * HOUR_S)) == 1

    with pytest.raises(Failed, match="cannot store in"):
        local.put(Key("ab/cd"), pieces())
    assert not local.has(Key("ab/cd"))


def test_a_missing_folder_is_not_an_empty_one(tmp_path: Path) -> None:
    gone = LocalBackend(tmp_path / "gone")
    key = Key("ab/cd")
    for act in (
        lambda: gone.put(key, [b"x"]),
        lambda: gone.put_stream([b"x"], lambda: key),
        lambda: gone.open(key),
        lambda: gone.has(key),
        lambda: gone.size(key),
        lambda: gone.delete(key),
        lambda: list(gone.list_keys()),
    ):
        with pytest.raises(Failed) as caught:
            act()
        assert str(caught.value) == (
            f"the artifact folder {tmp_path / 'gone'} is not there\n"
            "it was moved, never made, or its disk is not mounted\n"
            "bring it back, or make it if nothing was stored yet"
        )
    assert list(tmp_path.iterdir()) == []


@contextmanager
def _without_privileges() -> Generator[None, None, None]:
    """Let the file system's permissions count, also where the tests are run by root."""
    user = os.geteuid()
    if user == 0:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(user)


def test_a_read_only_folder_is_denied_and_can_be_read() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        local = LocalBackend(folder)
        local.put(Key("ab/cd"), [b"bytes"])
        for path in (folder, folder / "tmp", folder / "objects", folder / "objects" / "ab"):
            path.chmod(0o555)
        try:
            with _without_privileges():
                with pytest.raises(Denied, match="cannot store in") as caught:
                    local.put(Key("ab/ce"), [b"bytes"])
                assert caught.value.why.startswith("Permission denied: ")
                assert caught.value.fix == "give this user access to the folder and its files"
                with pytest.raises(Denied, match="cannot remove"):
                    local.delete(Key("ab/cd"))
                with local.open(Key("ab/cd")) as stream:
                    assert stream.read() == b"bytes"
        finally:
            for path in (folder, folder / "tmp", folder / "objects", folder / "objects" / "ab"):
                path.chmod(0o755)


def test_an_unreadable_object_is_denied_by_name() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        local = LocalBackend(folder)
        local.put(Key("ab/cd"), [b"bytes"])
        (folder / "objects" / "ab" / "cd").chmod(0)
        with _without_privileges(), pytest.raises(Denied, match=r"cannot read .*objects/ab/cd"):
            local.open(Key("ab/cd"))


def test_a_write_that_the_system_cuts_short_leaves_nothing(
    local: LocalBackend, tmp_path: Path
) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(Failed, match="cannot store in") as caught:
            local.put(Key("ab/cd"), [b"x" * 60_000] * 30)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert caught.value.why.startswith("the file is larger than the file system or a limit allows")
    assert not local.has(Key("ab/cd"))
    assert list((tmp_path / "tmp").iterdir()) == []


def test_an_object_removed_by_hand_is_not_found(local: LocalBackend, tmp_path: Path) -> None:
    local.put(Key("ab/cd"), [b"bytes"])
    (tmp_path / "objects" / "ab" / "cd").unlink()
    with pytest.raises(NotFound) as caught:
        local.size(Key("ab/cd"))
    assert str(caught.value) == (
        f"nothing is stored under ab/cd\n{tmp_path}/objects/ab/cd is not there"
    )


def _read(local: LocalBackend, key: str) -> bytes:
    with local.open(Key(key)) as stream:
        return stream.read()
