"""No outgoing connection unless somebody configured one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

GUARD = """
import os, sys

LOOPBACK = ("localhost", "127.0.0.1", "::1", "", None)

def refuse(event, arguments):
    if event in ("socket.connect", "socket.sendto", "socket.sendmsg"):
        address = arguments[1]
        host = address[0] if isinstance(address, tuple) else None
    elif event in ("socket.getaddrinfo", "socket.gethostbyname"):
        host = arguments[0]
    else:
        return
    if host not in LOOPBACK:
        sys.stderr.write(f"OUTGOING {event} {host}\\n")
        sys.stderr.flush()
        # Nobody may catch it and go on.
        os._exit(86)

sys.addaudithook(refuse)
"""

EVERYTHING = """
import importlib, pkgutil
import millwright
# The migrations' `env` is run by Alembic, and `__main__` is `mill`.
skipped = ("millwright.__main__", "millwright.metadata.migrations.env")
count = 0
for found in pkgutil.walk_packages(millwright.__path__, "millwright."):
    if found.name in skipped:
        continue
    try:
        importlib.import_module(found.name)
    except ModuleNotFoundError as error:
        # A flavour's own library is there only for those who use it.
        assert found.name.startswith("millwright.registry.flavors."), error
        assert not (error.name or "").startswith("millwright"), error
    count += 1
assert count > 250, count
"""

WORK = """
from pathlib import Path
from millwright.cli.main import run
import millwright as mw
assert run(["init"], {}) == 0
assert run(["status"], {}) == 0
Path("rows.csv").write_text("a,b\\n1,x\\n2,y\\n")
assert run(["data", "add", "rows.csv"], {}) == 0
with mw.start_run("train", params={"max_depth": 3}):
    mw.log_metric("auc", 0.9)
assert run(["runs", "list"], {}) == 0
assert run(["audit", "verify"], {}) == 0
print("DONE")
"""


def guarded(code: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run code in a process that ends with 86 when it turns to another machine."""
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", GUARD + code],
        capture_output=True,
        text=True,
        cwd=folder,
        env={},
        check=False,
    )


@pytest.mark.parametrize(
    "code",
    [
        "import socket; socket.create_connection(('192.0.2.1', 9), timeout=1)",
        "import socket; socket.getaddrinfo('example.org', 80)",
        "import httpx\ntry: httpx.get('http://192.0.2.1')\nexcept Exception: pass",
        "import socket; s = socket.socket(type=socket.SOCK_DGRAM); s.sendto(b'', ('192.0.2.1', 9))",
    ],
)
def test_a_connection_would_be_noticed(code: str, tmp_path: Path) -> None:
    done = guarded(code, tmp_path)
    assert done.returncode == 86, done.stderr
    assert done.stderr.startswith("OUTGOING socket.")


def test_importing_everything_asks_nobody(tmp_path: Path) -> None:
    done = guarded(EVERYTHING, tmp_path)
    assert done.returncode == 0, done.stderr


def test_working_asks_nobody(tmp_path: Path) -> None:
    done = guarded(WORK, tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.rstrip().endswith("DONE")
