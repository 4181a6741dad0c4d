from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from fixtures.command_line import Mill
from millwright.cli.main import overview, take_given
from millwright.cli.nouns import NOUNS, load_app
from millwright.cli.session import Given
from millwright.core.errors import Invalid
from millwright.core.version import VERSION
from millwright.records.runs import Problem

HEAVY = ("numpy", "polars", "sqlalchemy", "alembic", "httpx", "rich", "typer", "sklearn", "onnx")


def mill_process(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "millwright", *words],
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_help_imports_no_noun_and_nothing_heavy() -> None:
    code = (
        "import json, sys\n"
        "from millwright.cli.main import run\n"
        "assert run(['--help'], {}) == 0\n"
        "print(json.dumps(sorted(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    loaded = set(json.loads(done.stderr))
    assert not loaded.intersection(HEAVY)
    nouns = {f"millwright.cli.{name}" for names in NOUNS.values() for name in names}
    assert not loaded & nouns
    assert done.stdout == overview()


def test_status_waits_for_no_library_it_does_not_need(mill: Mill) -> None:
    code = (
        "import json, sys\n"
        "from millwright.cli.main import run\n"
        "assert run(['status', '--json'], {}) == 0\n"
        "print(json.dumps(sorted(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=mill.folder,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    loaded = set(json.loads(done.stderr))
    assert not loaded & {"polars", "sqlalchemy", "alembic", "httpx", "rich", "sklearn", "onnx"}


def test_the_overview_names_every_noun(nowhere: Mill) -> None:
    for words in ([], ["--help"], ["-h"]):
        ended = nowhere(*words)
        assert (ended.code, ended.out) == (0, overview())
    assert "  --as ACTOR      act as that person" in overview()


def test_the_version_is_told(nowhere: Mill) -> None:
    assert nowhere("--version").out == f"millwright {VERSION}\n"
    assert nowhere("--version", "--json").record(dict[str, str]) == {"version": VERSION}


@pytest.mark.parametrize("name", [name for names in NOUNS.values() for name in names])
def test_every_noun_that_is_here_has_help(nowhere: Mill, name: str) -> None:
    module = Path(sys.modules["millwright.cli.main"].__file__ or "").with_name(f"{name}.py")
    ended = nowhere(name, "--help")
    if module.is_file():
        assert (ended.code, ended.err) == (0, "")
        assert ended.out.startswith(f"Usage: mill {name} ")
    else:
        assert ended.code == 1
        assert ended.err.startswith(f"error: mill {name} is missing from this installation\n")


def test_options_of_every_command_are_taken_out_wherever_they_stand() -> None:
    given, rest = take_given(
        ["--json", "data", "--home", "h", "show", "loans", "--project=p", "-q", "--as", "ada"]
    )
    assert given == Given(home=Path("h"), project="p", actor="ada", json=True, quiet=True)
    assert rest == ["data", "show", "loans"]
    assert take_given(["a", "--", "--json"]) == (Given(), ["a", "--", "--json"])


@pytest.mark.parametrize("words", [["data", "--home"], ["--url="], ["status", "--as"]])
def test_an_option_without_its_value_is_refused(words: list[str]) -> None:
    with pytest.raises(Invalid, match="needs a value"):
        take_given(words)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["dta"], "error: mill has no noun 'dta'\n"),
        (["--jsno", "status"], "error: mill has no option --jsno\n"),
        (["data", "shw"], "error: No such command 'shw'. Did you mean 'show'?\n"),
        (["data", "show"], "error: Missing argument 'REF'.\n"),
        (["data", "show", "a", "--nope"], "error: No such option: --nope"),
        (["audit", "list", "--limit", "x"], "error: Invalid value for '--limit'"),
    ],
)
def test_a_usage_error_exits_2_and_says_where_to_look(
    mill: Mill, words: list[str], said: str
) -> None:
    ended = mill(*words)
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith(said)
    assert ended.err.splitlines()[-1].startswith("fix: ")


def test_a_noun_without_its_verb_shows_the_verbs_and_exits_2(mill: Mill) -> None:
    ended = mill("data")
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith("Usage: mill data ")
    assert "  validate  " in ended.err


def test_an_error_is_words_on_stderr_and_with_json_the_problem_on_stdout(mill: Mill) -> None:
    ended = mill("data", "show", "loans")
    assert (ended.code, ended.out) == (3, "")
    assert ended.err.splitlines() == [
        "error: no dataset loans",
        "why: this project has no datasets yet",
        ended.err.splitlines()[-1],
    ]
    ended = mill("data", "show", "loans", "--json")
    assert ended.code == 3
    assert ended.record(Problem).code == "not-found"
    assert ended.record(Problem).what == "no dataset loans"


def test_a_fault_of_ours_is_one_line_and_says_how_to_see_more(
    mill: Mill, monkeypatch: pytest.MonkeyPatch
) -> None:
    import millwright.cli.session

    def broken(_: object) -> None:
        raise ZeroDivisionError("a fault")

    monkeypatch.setattr(millwright.cli.session.Session, "config", broken)
    ended = mill("status")
    assert (ended.code, ended.out) == (1, "")
    assert ended.err.splitlines() == [
        "error: unexpected ZeroDivisionError: a fault",
        "fix: run again with --debug to see where",
    ]
    assert "Traceback" in mill("status", "--debug").err


def test_quiet_says_nothing_but_the_result(mill: Mill) -> None:
    assert mill("status", "-q").err == ""
    assert mill("status").err != ""
    assert mill("status", "--json").err == ""


def test_the_environment_names_home_and_project(mill: Mill, tmp_path: Path) -> None:
    ended = mill("data", "list", environment={"MILLWRIGHT_HOME": str(tmp_path / "none")})
    assert (ended.code, ended.err.splitlines()[0]) == (
        3,
        f"error: there is no home in {tmp_path}/none",
    )
    ended = mill("data", "list", environment={"MILLWRIGHT_PROJECT": "other"})
    assert ended.code == 3


def test_an_app_is_found_by_its_noun() -> None:
    assert load_app("data").registered_commands


def test_the_installed_command_answers(mill: Mill) -> None:
    done = mill_process("whoami", "--json", cwd=mill.folder)
    assert (done.returncode, done.stderr) == (0, "")
    assert '"kind":"person"' in done.stdout
    done = mill_process("data", "show", "x", cwd=mill.folder)
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr.startswith("error: no dataset x\n")


def test_a_reader_that_goes_away_changes_nothing(mill: Mill) -> None:
    done = subprocess.run(
        ["bash", "-c", f"'{sys.executable}' -m millwright audit list; echo code $? >&2"],
        cwd=mill.folder,
        stdout=_closed_pipe(),
        stderr=subprocess.PIPE,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.stderr == "code 0\n"


def test_ctrl_c_exits_130_in_a_word(mill: Mill) -> None:
    mill.write("slow.py", SLOW)
    os.mkfifo(mill.folder / "ready")
    child = subprocess.Popen(
        [sys.executable, "-m", "millwright", "run", "slow.py"],
        cwd=mill.folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    # The step opens it when the host has been waiting for it for a while.
    waiting = os.open("ready", os.O_RDONLY | os.O_NONBLOCK)
    assert select.select([waiting], [], [], 60)[0]
    os.close(waiting)
    child.send_signal(signal.SIGINT)
    out, err = child.communicate(timeout=60)
    assert child.returncode == 130, err
    # The running step was let end; the one behind it was not begun.
    assert "waiting for 1 steps to end; Ctrl-C again ends them at once" in err
    assert "waits" in out
    assert "cancelled: 1 ran, 1 skipped" in out


SLOW = """
import time
from millwright.pipelines.graph import pipeline
from millwright.pipelines.step import step


@step
def waits() -> int:
    time.sleep(0.3)
    with open("ready", "w") as told:
        told.write("1")
    time.sleep(0.7)
    return 1


@step
def after(n: int) -> int:
    return n


@pipeline
def slow():
    after(waits())
"""


def _closed_pipe() -> int:
    read, write = os.pipe()
    os.close(read)
    return write
