import os
from pathlib import Path, PureWindowsPath

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from millwright.artifacts.paths import join, parse_artifact_path
from millwright.core.errors import Invalid


@pytest.mark.parametrize(
    "text",
    [
        "MLmodel",
        "model/data.bin",
        "a b/c.d",
        "données/zażółć/数据",
        ".hidden",
        "..a",
        "a..",
        "%2e%2e/%2fetc",
        "metric:auc.json",
        "~",
        "-rf",
        "a" * 255,
    ],
)
def test_plain_relative_paths_stay_as_they_are(text: str) -> None:
    assert parse_artifact_path(text) == text


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "it is empty"),
        ("/etc/passwd", "it is absolute"),
        ("..", "the part '..' is no name"),
        ("a/../../b", "the part '..' is no name"),
        ("./a", "the part '.' is no name"),
        ("a/.. /b", "the part '.. ' is no name"),
        ("a/ /b", "the part ' ' is no name"),
        ("a//b", "it has an empty part"),
        ("a/", "it has an empty part"),
        ("a\\b", "it holds a backslash"),
        ("..\\b", "it holds a backslash"),
        ("C:/a", "the part 'C:' begins with a drive letter"),
        ("a/c:b", "the part 'c:b' begins with a drive letter"),
        ("a\0b", "it holds the character U+0000"),
        ("a\nb", "it holds the character U+000A"),
        ("a\x7fb", "it holds the character U+007F"),
        ("a\x85b", "it holds the character U+0085"),
        ("a\u2028b", "it holds the character U+2028"),
        ("a\udc80b", "it holds the character U+DC80"),
        ("a" * 256, "is longer than 255 bytes"),
        ("é" * 128, "is longer than 255 bytes"),
        ("ab/" * 342 + "a", "it is longer than 1024 bytes"),
    ],
)
def test_other_paths_are_refused_with_the_reason(text: str, why: str) -> None:
    with pytest.raises(Invalid, match="cannot be a path in a tree") as caught:
        parse_artifact_path(text)
    assert why in caught.value.why


NASTY = st.text(alphabet="ab.. /\\%2eC:\0\n~ é\u2028\ud800", max_size=16)


@given(st.one_of(NASTY, st.text(max_size=30)))
@example("a/../..")
@example("%2e%2e/a")
@example("... /a")
def test_the_result_always_stays_below_its_folder(text: str) -> None:
    try:
        path = parse_artifact_path(text)
    except Invalid:
        return
    folder = Path("/srv/folder")
    joined = join(folder, path)
    assert str(joined) == os.path.normpath(joined)
    assert joined.is_relative_to(folder)
    assert joined != folder
    windows = PureWindowsPath("D:\\srv") / path
    assert windows.is_relative_to("D:\\srv")
    assert all(part.strip(". ") for part in windows.parts)


@given(st.lists(st.text(alphabet="abc-_é", min_size=1, max_size=5), min_size=1, max_size=5))
def test_ordinary_paths_are_never_refused(parts: list[str]) -> None:
    path = parse_artifact_path("/".join(parts))
    assert join(Path("f"), path).parts == ("f", *parts)
