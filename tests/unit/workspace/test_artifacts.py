"""Stored bytes through the embedded door take what they take through the server's."""

from __future__ import annotations

from pathlib import Path

import pytest

from fixtures.homes import Place
from millwright.core.errors import Denied


def test_who_may_only_look_stores_nothing_and_a_nobody_reads_nothing(
    sqlite_place: Place, tmp_path: Path
) -> None:
    place = sqlite_place
    source = tmp_path / "source"
    source.mkdir()
    (source / "a").write_bytes(b"1")
    editor, viewer = place.person("ed"), place.person("vi", "viewer")
    place.me.access.create_actor(name="no")
    nobody = place.home.door(place.home.principal("no"), "default")
    file = editor.artifacts.put_file(source / "a")
    folder = editor.artifacts.put_folder(source)
    for door in (viewer, nobody):
        with pytest.raises(Denied, match=r"may not do run\.write"):
            door.artifacts.put_file(source / "a")
        with pytest.raises(Denied):
            door.artifacts.put_folder(source)
    viewer.artifacts.fetch(file, tmp_path / "b")
    viewer.artifacts.fetch_folder(folder, tmp_path / "back")
    assert (tmp_path / "b").read_bytes() == (tmp_path / "back" / "a").read_bytes() == b"1"
    with pytest.raises(Denied, match=r"no may not do data\.read"):
        nobody.artifacts.fetch(file, tmp_path / "c")
    with pytest.raises(Denied):
        nobody.artifacts.fetch_folder(folder, tmp_path / "c")
    assert not (tmp_path / "c").exists()
