"""A model version's environment, made again with uv.

What loading needs stands in the package (`requirements.txt`, `python_env.yaml`) or, for a whole
run, in its environment artifact: every distribution with its version. Both become a lock with
hashes first, and the environment is made from the lock, so that a second one is the same.

uv is called as a program: it resolves in a second what pip does in a minute, and nothing of it
comes into our process.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from millwright.core.errors import Conflict, Failed, Invalid, NotFound, TimedOut
from millwright.registry.facts import PYTHON_ENV, REQUIREMENTS

LOCK = "requirements.lock"
TIMEOUT_S = 900.0

_PYTHON = re.compile(r"^python:\s*['\"]?(\d+\.\d+(?:\.\d+)?)['\"]?\s*$", re.MULTILINE)
_REQUIREMENT = re.compile(
    r"[A-Za-z0-9][A-Za-z0-9._-]*(\[[A-Za-z0-9,._ -]+\])?\s*"
    r"((===?|~=|!=|<=?|>=?)\s*[A-Za-z0-9.*+!_-]+\s*,?\s*)*(;[^\r\n]+)?"
)


@dataclass(frozen=True, slots=True)
class Environment:
    """What has to be there for a model to load, or a run to run."""

    python: str
    """A version, as 3.11.7."""
    requirements: tuple[str, ...]
    """Each as `name==1.2` or another specifier; no options, addresses or paths."""


@dataclass(frozen=True, slots=True)
class Restored:
    """An environment that was made."""

    python: Path
    """Its interpreter."""
    lock: Path
    python_version: str


@dataclass(frozen=True, slots=True)
class Sources:
    """Where distributions come from; the default is uv's own configuration."""

    folders: tuple[Path, ...] = ()
    """Folders of wheels."""
    use_index: bool = True
    """Whether an index may be asked besides."""


def read_environment(folder: Path) -> Environment:
    """Return the environment that a package names.

    Raises NotFound when it names none, and Invalid for a requirement that is no plain one: an
    option, a path or an address would let a package install anything from anywhere.
    """
    try:
        requirements = (folder / REQUIREMENTS).read_bytes()
    except FileNotFoundError as error:
        raise NotFound(f"{folder} has no {REQUIREMENTS}", why="it names no environment") from error
    path = folder / PYTHON_ENV
    return parse_environment(requirements, path.read_bytes() if path.is_file() else b"")


def parse_environment(requirements: bytes, python_env: bytes) -> Environment:
    """Return the environment that a package's two files name; raises Invalid as `read_environment`.

    Without a version in `python_env` it is that of this Python.
    """
    try:
        lines, text = requirements.decode().splitlines(), python_env.decode()
    except UnicodeDecodeError as error:
        raise Invalid(f"{REQUIREMENTS} or {PYTHON_ENV} is no text", why=str(error)) from error
    found = _PYTHON.search(text)
    return Environment(found[1] if found else _here(), _plain(lines))


def environment_of(installed: Mapping[str, str]) -> Environment:
    """Return the environment of a run from its artifact: distribution -> version, and `python`."""
    lines = [f"{name}=={version}" for name, version in installed.items() if name != "python"]
    return Environment(installed.get("python", _here()), _plain(lines))


def find_uv(given: Path | None = None) -> Path:
    """Return the program: the one given, beside this Python, or on PATH; raises NotFound."""
    beside = Path(sys.executable).with_name("uv")
    for path in (given, beside, Path(shutil.which("uv") or "")):
        if path is not None and path.is_file() and os.access(path, os.X_OK):
            return path
    raise NotFound(
        f"there is no uv at {given}" if given else "uv is not installed",
        why="environments are restored with it",
        fix="pip install uv, or say where it is",
    )


def lock(
    environment: Environment,
    target: Path,
    *,
    uv: Path,
    sources: Sources | None = None,
    python: Path | None = None,
) -> None:
    """Write the lock of an environment: every distribution it needs, with hashes.

    `python` is the interpreter to ask where a distribution has to be built to know its needs;
    otherwise uv takes the one that is active here.

    Raises Failed, with uv's own words, when no set of distributions fits.
    """
    asked = target.with_name(f".{target.name}.in")
    asked.write_text("".join(f"{line}\n" for line in environment.requirements), encoding="utf-8")
    try:
        _run(
            uv,
            ["pip", "compile", str(asked), "--output-file", str(target), "--generate-hashes"],
            ["--no-header", "--no-annotate", "--quiet"],
            ["--python-version", environment.python, *_options(sources)],
            [] if python is None else ["--python", str(python)],
            what="no set of distributions fits the environment",
        )
    finally:
        asked.unlink(missing_ok=True)


def restore(
    environment: Environment, folder: Path, *, uv: Path, sources: Sources | None = None
) -> Restored:
    """Make the environment in the new folder `folder`, with its lock inside.

    The interpreter is of the version named or, where that patch is not on this machine, of the
    same minor version; none is fetched. Raises Conflict when the folder is in use, NotFound
    when no such interpreter is there, and Failed with uv's own words; then nothing is left of it.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise Conflict(f"{folder} is in use", fix="name a folder that is empty or does not exist")
    python = _interpreter(uv, environment.python)
    try:
        return _install(environment, folder, python, uv=uv, sources=sources)
    except BaseException:
        # Half an environment would only be in the way of the next try.
        shutil.rmtree(folder, ignore_errors=True)
        raise


def _install(
    environment: Environment, folder: Path, python: str, *, uv: Path, sources: Sources | None
) -> Restored:
    _run(
        uv,
        ["venv", "--quiet", "--no-python-downloads", "--python", python, str(folder)],
        what=f"no environment could be made in {folder}",
    )
    kept = folder / LOCK
    inner = folder / ("Scripts" if os.name == "nt" else "bin") / "python"
    lock(environment, kept, uv=uv, sources=sources, python=inner)
    _run(
        uv,
        ["pip", "sync", str(kept), "--quiet", "--require-hashes", "--python", str(inner)],
        _options(sources),
        what="the environment's distributions could not be installed",
    )
    found = _run(
        inner,
        ["-c", "import platform; print(platform.python_version())"],
        what="the environment's Python does not start",
    )
    return Restored(inner, kept, found.strip())


def _plain(lines: Sequence[str]) -> tuple[str, ...]:
    kept: list[str] = []
    for line in lines:
        text = line.partition(" #")[0].strip()
        if not text or text.startswith("#"):
            continue
        if not _REQUIREMENT.fullmatch(text):
            raise Invalid(
                f"the requirement {text[:80]!r} is not a name with versions",
                why="an option, a path or an address could install anything from anywhere",
                fix="name the distribution and its version, as numpy==2.0.0",
            )
        kept.append(text)
    return tuple(sorted(kept))


def _here() -> str:
    return ".".join(str(part) for part in sys.version_info[:3])


def _interpreter(uv: Path, version: str) -> str:
    """Return the path of an interpreter of that version, or of its minor version."""
    minor = ".".join(version.split(".")[:2])
    for wanted in (version, minor):
        done = _call(uv, ["python", "find", "--no-python-downloads", "--system", wanted])
        if done.returncode == 0:
            return done.stdout.strip()
    raise NotFound(
        f"there is no Python {minor} on this machine",
        why=f"the environment was made with {version}",
        fix=f"install Python {minor}, or let uv do so: uv python install {minor}",
    )


def _options(sources: Sources | None) -> list[str]:
    if sources is None:
        return []
    options = [] if sources.use_index else ["--no-index"]
    for folder in sources.folders:
        options += ["--find-links", str(folder)]
    return options


def _run(program: Path, *arguments: Sequence[str], what: str) -> str:
    done = _call(program, [word for words in arguments for word in words])
    if done.returncode != 0:
        raise Failed(what, why=" ".join(done.stderr.split())[:500])
    return done.stdout


def _call(program: Path, arguments: Sequence[str]) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            [program, *arguments],
            capture_output=True,
            text=True,
            check=False,
            timeout=TIMEOUT_S,
        )
    except subprocess.TimeoutExpired as error:
        raise TimedOut(f"{program.name} took longer than {TIMEOUT_S:.0f} s") from error
    except OSError as error:
        raise Failed(f"{program} cannot be run", why=str(error)) from error
