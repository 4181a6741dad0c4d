from __future__ import annotations

import pytest

from fixtures.command_line import Mill


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_gets_its_script(
    nowhere: Mill, monkeypatch: pytest.MonkeyPatch, shell: str
) -> None:
    monkeypatch.setenv("_MILL_COMPLETE", "")
    ended = nowhere.ok("completion", shell)
    assert "_MILL_COMPLETE" in ended.out


def test_a_shell_there_is_none_for_is_refused(nowhere: Mill) -> None:
    assert nowhere("completion", "tcsh").code == 2


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("mill dat", ["data"]),
        ("mill data sh", ["show"]),
        ("mill --js", ["--json"]),
        ("mill gate check --tar", ["--target"]),
    ],
)
def test_what_is_typed_is_completed(
    nowhere: Mill, monkeypatch: pytest.MonkeyPatch, typed: str, offered: list[str]
) -> None:
    environment = {
        "_MILL_COMPLETE": "complete_bash",
        "COMP_WORDS": typed,
        "COMP_CWORD": str(len(typed.split()) - 1),
    }
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    ended = nowhere(environment=environment)
    assert (ended.code, ended.out.split()) == (0, offered)
