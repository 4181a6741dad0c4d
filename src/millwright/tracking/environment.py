"""What a run was made from: installed packages, source files, git commit and what it lacks.

All of it is stored as artifacts, so that a run can be made again after the machine, the
branch and the working copy are gone.
"""

from __future__ import annotations

import os
import platform
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import Distribution, distributions
from pathlib import Path

from msgspec.structs import replace

from millwright.artifacts.paths import parse_artifact_path
from millwright.artifacts.store import ArtifactStore
from millwright.artifacts.trees import put_tree
from millwright.core.canonical import encode
from millwright.core.digest import Digest
from millwright.core.errors import Invalid
from millwright.records.runs import RunSource

SOURCE_SUFFIXES = frozenset(
    {".py", ".pyi", ".toml", ".yaml", ".yml", ".cfg", ".ini", ".sql", ".sh", ".ipynb"}
)
MAX_FILE_BYTES = 1 << 20
MAX_FILES = 2000
_SKIPPED_FOLDERS = frozenset({"__pycache__", "node_modules", "dist", "build", "site-packages"})
_GIT_TIMEOUT_S = 10.0
_NAME = re.compile(r"^name:(.+)$", re.IGNORECASE | re.MULTILINE)
_VERSION = re.compile(r"^version:(.+)$", re.IGNORECASE | re.MULTILINE)


def capture(artifacts: ArtifactStore, root: Path, command: list[str]) -> RunSource:
    """Store what a run under the project folder `root` is made from, and return it.

    Source files are those git tracks or would track (elsewhere, those below `root` outside
    hidden and build folders) with a source suffix and at most 1 MiB, 2,000 at most.
    """
    commit = _git(root, "rev-parse", "HEAD")
    diff = None if commit is None else uncommitted(root)
    files = {
        name: path
        for path in source_files(root)
        if _fits_tree(name := path.relative_to(root).as_posix())
    }
    return replace(
        describe(command),
        environment_digest=artifacts.put_bytes(encode(installed())),
        code_digest=put_tree(artifacts, files).digest if files else None,
        git_commit=None if commit is None else commit.decode().strip(),
        git_diff_digest=Digest(artifacts.put_bytes(diff)) if diff else None,
    )


def describe(command: list[str]) -> RunSource:
    """Return what can be said of a run's making where nothing can be stored."""
    return RunSource(
        command=command,
        python=platform.python_version(),
        platform=platform.platform(),
        process=process_identity(os.getpid()),
    )


def uncommitted(root: Path) -> bytes:
    """Return, as a patch, how the folder `root` of a repository differs from its last commit.

    Source files that git does not track and does not ignore are new files in it, as far as they
    are text; `git apply` makes the working copy from it again.
    """
    changed = _git(root, "diff", "--binary", "HEAD", "--", ".") or b""
    prefix = (_git(root, "rev-parse", "--show-prefix") or b"").decode(errors="replace").strip()
    listed = _git(root, "ls-files", "-z", "--others", "--exclude-standard", "--", ".") or b""
    names = sorted(name.decode(errors="surrogateescape") for name in listed.split(b"\0") if name)
    new = (
        _added(prefix + name, root / name) for name in names[:MAX_FILES] if _is_source(root / name)
    )
    return changed + b"".join(new)


def process_identity(pid: int) -> str | None:
    """Return what tells a process of this machine from every other, also when its number is reused.

    None where the system does not say, or there is no such process.
    """
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        # The 22nd field, counted behind the name, which may hold spaces: ticks since boot.
        started = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return None
    return f"{platform.node()}/{boot}/{pid}/{started}"


def is_gone(process: str) -> bool:
    """Tell whether a process that ran on this machine has ended; False when one cannot know."""
    here = process_identity(os.getpid())
    if here is None:
        return False
    match process.split("/"):
        case [machine, boot, pid, _] if machine == platform.node() and _is_number(pid):
            pass
        case _:
            return False
    return not here.startswith(f"{machine}/{boot}/") or process_identity(int(pid)) != process


def _fits_tree(name: str) -> bool:
    """Tell whether a tree can hold the name; a run does not fail over a file called oddly."""
    try:
        parse_artifact_path(name)
    except Invalid:
        return False
    return True


def _added(name: str, path: Path) -> bytes:
    """Return a patch that adds a text file; nothing for one that a patch cannot carry."""
    # git quotes such names; a file called like this is in the tree of source files all the same.
    if not name.isprintable() or any(char in name for char in '"\\'):
        return b""
    try:
        data = path.read_bytes()
        data.decode()
    except (OSError, UnicodeDecodeError):
        return b""
    if b"\0" in data:
        return b""
    mode = "100755" if os.access(path, os.X_OK) else "100644"
    head = f"diff --git a/{name} b/{name}\nnew file mode {mode}\n"
    if not data:
        return head.encode()
    lines = data.split(b"\n")
    ends_whole = lines[-1] == b""
    if ends_whole:
        lines.pop()
    # A name with a space is followed by a tab, which says where it ends.
    tab = "\t" if " " in name else ""
    span = "+1" if len(lines) == 1 else f"+1,{len(lines)}"
    head += f"--- /dev/null\n+++ b/{name}{tab}\n@@ -0,0 {span} @@\n"
    body = b"".join(b"+" + line + b"\n" for line in lines)
    return head.encode() + body + (b"" if ends_whole else b"\\ No newline at end of file\n")


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit()


def installed() -> dict[str, str]:
    """Return name -> version of every installed distribution, and `python` itself."""
    found = dict(filter(None, map(_name_and_version, distributions())))
    return dict(sorted(found.items())) | {"python": platform.python_version()}


def source_files(root: Path) -> list[Path]:
    """Return the project's source files, sorted; symbolic links are left out."""
    chosen = [path for path in _candidates(root) if _is_source(path)]
    return sorted(chosen)[:MAX_FILES]


def command_line() -> list[str]:
    """Return how this process was called, the interpreter left out.

    Bytes of an argument that are no UTF-8, as the name of a file may hold, are spelled out.
    """
    return [one.encode("utf-8", "backslashreplace").decode() for one in sys.argv]


def _name_and_version(distribution: Distribution) -> tuple[str, str] | None:
    # The library parses the whole of it as a mail, twice, a millisecond for each of hundreds.
    text = distribution.read_text("METADATA") or distribution.read_text("PKG-INFO") or ""
    head = text.partition("\n\n")[0]
    name, version = _NAME.search(head), _VERSION.search(head)
    return None if name is None or version is None else (name[1].strip(), version[1].strip())


def _candidates(root: Path) -> Iterator[Path]:
    listed = _git(root, "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", ".")
    if listed is not None:
        yield from (
            root / name.decode(errors="surrogateescape") for name in listed.split(b"\0") if name
        )
        return
    for path in root.iterdir() if root.is_dir() else ():
        if path.name.startswith(".") or path.name in _SKIPPED_FOLDERS or path.is_symlink():
            continue
        if path.is_dir():
            yield from _walk(path)
        else:
            yield path


def _walk(folder: Path) -> Iterator[Path]:
    if (folder / "pyvenv.cfg").exists():
        return
    for path in folder.iterdir():
        if path.name.startswith(".") or path.name in _SKIPPED_FOLDERS or path.is_symlink():
            continue
        if path.is_dir():
            yield from _walk(path)
        else:
            yield path


def _is_source(path: Path) -> bool:
    try:
        return (
            path.suffix in SOURCE_SUFFIXES
            and not path.is_symlink()
            and path.is_file()
            and path.stat().st_size <= MAX_FILE_BYTES
        )
    except OSError:
        return False


def _git(root: Path, *arguments: str) -> bytes | None:
    """Return what git prints, or None where there is no git, no repository or no commit."""
    try:
        done = subprocess.run(
            ["git", "-C", str(root), "-c", "core.fsmonitor=false", *arguments],
            capture_output=True,
            check=False,
            timeout=_GIT_TIMEOUT_S,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None
