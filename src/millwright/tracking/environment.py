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
from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase
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
MAX_PATCH_BYTES = 1 << 25
"""Of the files that a patch changes, together."""
LEFT_OUT = ".mill-left-out"
"""In a run's source files: the names of those that were not stored, one a line."""
MASKED = "***"
_SECRET_FILES = (
    ".env*",
    "*.pem",
    "*.key",
    "id_rsa*",
    "id_ed25519*",
    "*secret*",
    "credentials*",
)
_SECRET_ARGUMENT = re.compile(
    r"-{0,2}(?:.*[-_.])?(?:api[-_]?key|access[-_]?key|private[-_]?key|token|password|passwd"
    r"|passphrase|credentials?)|-{0,2}.*secret.*",
    re.IGNORECASE,
)
_URL_PASSWORD = re.compile(r"(://[^/\s:@]*):[^/\s@]+@")
# What a user's configuration may say otherwise, and `git apply` would not take.
_DIFF = (
    "diff",
    "--no-ext-diff",
    "--no-textconv",
    "--no-color",
    "--no-renames",
    "--submodule=short",
    "--ignore-submodules=dirty",
    "-O/dev/null",
)
_PATCH = (*_DIFF, "--no-relative", "-U3", "--src-prefix=a/", "--dst-prefix=b/", "--binary", "HEAD")
# A command line has a limit, and the names of all that changed may be beyond it.
_NAMES_AT_ONCE = 500
_SKIPPED_FOLDERS = frozenset({"__pycache__", "node_modules", "dist", "build", "site-packages"})
_GIT_TIMEOUT_S = 10.0
_NAME = re.compile(r"^name:(.+)$", re.IGNORECASE | re.MULTILINE)
_VERSION = re.compile(r"^version:(.+)$", re.IGNORECASE | re.MULTILINE)


def capture(artifacts: ArtifactStore, root: Path, command: list[str]) -> RunSource:
    """Store what a run under the project folder `root` is made from, and return it.

    Source files are those git tracks or would track (elsewhere, those below `root` outside
    hidden and build folders) with a source suffix and at most 1 MiB, 2,000 at most. Those that
    are called as secrets are, such as `credentials.toml`, are not stored but named in `LEFT_OUT`.
    """
    commit = _git(root, "rev-parse", "HEAD")
    diff = None if commit is None else uncommitted(root)
    files: dict[str, Path | bytes] = {}
    secrets: list[str] = []
    for path in source_files(root):
        name = path.relative_to(root).as_posix()
        if _is_secret(name):
            secrets.append(_printable(name))
        elif _fits_tree(name):
            files[name] = path
    if secrets:
        files[LEFT_OUT] = "".join(f"{name}\n" for name in secrets).encode()
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
    are text; `git apply` makes the working copy from it again. What is large or called as secrets
    are is left out and named in lines at its head, which `git apply` passes over.
    """
    left_out: list[str] = []
    patch = _changed(root, left_out) + _new(root, left_out)
    return b"".join(f"# left out: {one}\n".encode() for one in left_out) + patch


def masked(command: Iterable[str]) -> list[str]:
    """Return a command without what its arguments say of passwords, tokens and the like.

    >>> masked(["train.py", "--token", "t", "--db.password=p", "--max-tokens=5"])
    ['train.py', '--token', '***', '--db.password=***', '--max-tokens=5']
    """
    shown: list[str] = []
    follows = False
    for one in command:
        name, equals, _ = one.partition("=")
        is_secret = _SECRET_ARGUMENT.fullmatch(name) is not None
        if follows and not one.startswith("--"):
            shown.append(MASKED)
            follows = False
            continue
        shown.append(f"{name}={MASKED}" if is_secret and equals else _without_password(one))
        follows = is_secret and not equals and one.startswith("-")
    return shown


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


def _changed(root: Path, left_out: list[str]) -> bytes:
    """Return a patch of what git tracks and differs, naming what is not in it."""
    listed = _git(root, *_DIFF, "--raw", "--no-abbrev", "-z", "--relative", "HEAD")
    if listed is None:
        left_out.append("all changes, which git did not tell in time")
        return b""
    fields = listed.split(b"\0")
    pairs = zip(fields[::2], fields[1::2], strict=False)
    blobs = {_decoded(name): head.split()[2] for head, name in pairs}
    kept: list[str] = []
    room = MAX_PATCH_BYTES
    for name, size_before in zip(blobs, _sizes(root, list(blobs.values())), strict=True):
        size_bytes = max(size_before, _size(root / name))
        if _is_secret(name):
            left_out.append(f"{_printable(name)}, called as secrets are")
        elif size_bytes > min(room, MAX_FILE_BYTES):
            left_out.append(f"{_printable(name)}, of {size_bytes} bytes")
        else:
            kept.append(name)
            room -= size_bytes
    patch = b""
    for at in range(0, len(kept), _NAMES_AT_ONCE):
        some = kept[at : at + _NAMES_AT_ONCE]
        made = _git(root, "--literal-pathspecs", *_PATCH, "--", *some)
        if made is None:
            left_out += [f"{_printable(name)}, which git did not tell in time" for name in some]
        patch += made or b""
    return patch


def _sizes(root: Path, blobs: list[bytes]) -> list[int]:
    """Return the sizes of what git keeps; 0 for what is new, or is kept elsewhere."""
    asked = b"".join(blob + b"\n" for blob in blobs)
    told = _git(root, "cat-file", "--batch-check=%(objectsize)", given=asked) if blobs else b""
    if told is None:
        return [0] * len(blobs)
    return [int(line) if line.isdigit() else 0 for line in told.splitlines()]


def _size(path: Path) -> int:
    try:
        return path.lstat().st_size
    except OSError:
        return 0


def _new(root: Path, left_out: list[str]) -> bytes:
    """Return a patch of the source files that git does not track, naming those not in it."""
    prefix = _decoded(_git(root, "rev-parse", "--show-prefix") or b"").removesuffix("\n")
    listed = _git(root, "ls-files", "-z", "--others", "--exclude-standard", "--", ".") or b""
    names = sorted(_decoded(name) for name in listed.split(b"\0") if name)
    names = [name for name in names if Path(name).suffix in SOURCE_SUFFIXES]
    patch: list[bytes] = []
    for name in names[:MAX_FILES]:
        path = root / name
        if path.is_symlink():
            continue
        if _is_secret(name):
            left_out.append(f"{_printable(name)}, called as secrets are")
        elif not _is_source(path):
            left_out.append(f"{_printable(name)}, of {_size(path)} bytes")
        elif (added := _added(prefix + name, path)) is None:
            left_out.append(f"{_printable(name)}, which is no text or called oddly")
        else:
            patch.append(added)
    if len(names) > MAX_FILES:
        left_out.append(f"{len(names) - MAX_FILES} more new files")
    return b"".join(patch)


def _is_secret(name: str) -> bool:
    called = name.rpartition("/")[2].lower()
    return any(fnmatchcase(called, pattern) for pattern in _SECRET_FILES)


def _without_password(text: str) -> str:
    return _URL_PASSWORD.sub(rf"\1:{MASKED}@", text)


def _printable(name: str) -> str:
    # A line break in a name would end the line that names it.
    return name if name.isprintable() else ascii(name)


def _decoded(name: bytes) -> str:
    return name.decode(errors="surrogateescape")


def _added(name: str, path: Path) -> bytes | None:
    """Return a patch that adds a text file; None for one that a patch cannot carry."""
    # git quotes such names; a file called like this is in the tree of source files all the same.
    if not name.isprintable() or any(char in name for char in '"\\'):
        return None
    try:
        data = path.read_bytes()
        data.decode()
    except (OSError, UnicodeDecodeError):
        return None
    if b"\0" in data:
        return None
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
    """Return how this process was called, the interpreter and secrets left out.

    Bytes of an argument that are no UTF-8, as the name of a file may hold, are spelled out.
    """
    return masked(one.encode("utf-8", "backslashreplace").decode() for one in sys.argv)


def _name_and_version(distribution: Distribution) -> tuple[str, str] | None:
    # The library parses the whole of it as a mail, twice, a millisecond for each of hundreds.
    text = distribution.read_text("METADATA") or distribution.read_text("PKG-INFO") or ""
    head = text.partition("\n\n")[0]
    name, version = _NAME.search(head), _VERSION.search(head)
    return None if name is None or version is None else (name[1].strip(), version[1].strip())


def _candidates(root: Path) -> Iterator[Path]:
    listed = _git(root, "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", ".")
    if listed is not None:
        yield from (root / _decoded(name) for name in listed.split(b"\0") if name)
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


def _git(root: Path, *arguments: str, given: bytes = b"") -> bytes | None:
    """Return what git prints, or None where there is no git, no repository or no commit."""
    try:
        done = subprocess.run(
            ["git", "-C", str(root), "-c", "core.fsmonitor=false", *arguments],
            input=given,
            capture_output=True,
            check=False,
            timeout=_GIT_TIMEOUT_S,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None
