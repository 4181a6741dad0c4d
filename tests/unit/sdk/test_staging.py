from __future__ import annotations

from pathlib import Path

import pytest

from millwright.core.digest import digest_bytes, digest_file
from millwright.core.errors import NotFound
from millwright.sdk.staging import stage, stage_source


def test_a_file_is_copied_under_its_digest(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"hello")
    staged = stage(tmp_path / "a.txt", tmp_path / "objects")
    assert staged.digest == digest_bytes(b"hello")
    (tmp_path / "a.txt").write_bytes(b"changed")
    (name,) = staged.objects
    assert (tmp_path / "objects" / name).read_bytes() == b"hello"


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"nothing\.txt"):
        stage(tmp_path / "nothing.txt", tmp_path / "objects")


def test_the_source_is_copied_with_its_manifest_last(tmp_path: Path) -> None:
    project = tmp_path / "project"
    project.mkdir()
    (project / "train.py").write_text("x = 1\n")
    source, objects = stage_source(project, tmp_path / "objects")
    digests = [digest_file(tmp_path / "objects" / name) for name in objects]
    assert source.environment_digest in digests
    assert digest_bytes(b"x = 1\n") in digests
    assert digests[-1] == source.code_digest


def test_what_waits_is_nobody_elses_to_read(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"hello")
    stage(tmp_path / "a.txt", tmp_path / "objects")
    assert (tmp_path / "objects").stat().st_mode & 0o077 == 0
