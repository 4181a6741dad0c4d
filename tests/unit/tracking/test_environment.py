from __future__ import annotations

import json
import platform
import subprocess
from importlib.metadata import distributions
from pathlib import Path

import pytest

from millwright.artifacts.store import ArtifactStore
from millwright.artifacts.trees import load_tree
from millwright.testing.artifacts import MemoryBackend
from millwright.tracking.environment import (
    LEFT_OUT,
    MAX_FILE_BYTES,
    capture,
    command_line,
    installed,
    is_gone,
    process_identity,
)


def git(folder: Path, *arguments: str) -> None:
    identity = ["-c", "user.name=A", "-c", "user.email=a@example.org"]
    subprocess.run(["git", "-C", folder, *identity, *arguments], check=True, capture_output=True)


@pytest.fixture
def store() -> ArtifactStore:
    return ArtifactStore(MemoryBackend())


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "flow.py").write_text("x = 1\n")
    (tmp_path / "data.csv").write_text("a,b\n1,2\n")
    (tmp_path / ".hidden").mkdir()
    (tmp_path / ".hidden" / "secret.py").write_text("token = 'x'\n")
    (tmp_path / "pkg").mkdir()
    (tmp_path / "pkg" / "steps.py").write_text("y = 2\n")
    return tmp_path


def files_of(store: ArtifactStore, project: Path) -> list[str]:
    source = capture(store, project, ["flow.py"])
    assert source.code_digest is not None
    return [entry.path for entry in load_tree(store, source.code_digest).entries]


def test_outside_git_the_source_files_are_kept_and_nothing_hidden(
    store: ArtifactStore, project: Path
) -> None:
    assert files_of(store, project) == ["flow.py", "pkg/steps.py"]
    source = capture(store, project, ["flow.py"])
    assert (source.git_commit, source.git_diff_digest) == (None, None)


def test_in_git_ignored_files_are_left_out_and_the_uncommitted_diff_is_kept(
    store: ArtifactStore, project: Path
) -> None:
    (project / ".gitignore").write_text("pkg/\n")
    git(project, "init", "-q")
    git(project, "add", ".")
    git(project, "commit", "-qm", "first")
    clean = capture(store, project, [])
    assert clean.git_commit is not None
    assert len(clean.git_commit) == 40
    assert clean.git_diff_digest is None
    (project / "flow.py").write_text("x = 2\n")
    changed = capture(store, project, [])
    assert changed.git_commit == clean.git_commit
    assert changed.git_diff_digest is not None
    assert b"+x = 2" in store.read_bytes(changed.git_diff_digest)
    assert "pkg/steps.py" not in files_of(store, project)


NEW_FILES = {
    "new.py": "a = 1\nb = 2\n",
    "one line.py": "a = 1",
    "empty.py": "",
    "ünï.py": "# größer\n",
    "windows.py": "a = 1\r\nb = 2\r\n",
    "pkg/deep.sql": "SELECT 1;\n\n\n",
}


@pytest.mark.parametrize("below", ["", "sub"])
def test_the_working_copy_can_be_made_again_from_commit_and_diff(
    store: ArtifactStore, project: Path, tmp_path_factory: pytest.TempPathFactory, below: str
) -> None:
    root = project / below
    (root / "pkg").mkdir(parents=True, exist_ok=True)
    (root / "kept.py").write_text("x = 1\n")
    (project / ".gitignore").write_text("ignored.py\n")
    git(project, "init", "-q")
    git(project, "add", ".")
    git(project, "commit", "-qm", "first")
    (root / "kept.py").write_text("x = 2\n")
    for name, text in NEW_FILES.items():
        (root / name).write_bytes(text.encode())
    (root / "run.sh").write_text("#!/bin/sh\n")
    (root / "run.sh").chmod(0o755)
    (root / "ignored.py").write_text("secret = 1\n")
    (root / "data.parquet").write_bytes(b"PAR1")
    (root / "odd\\name.py").write_text("x\n")
    (root / "binary.py").write_bytes(b"\xff\x00")
    source = capture(store, root, [])
    assert source.git_diff_digest is not None
    assert source.git_commit is not None
    copy = tmp_path_factory.mktemp("copy")
    git(copy, "clone", "-q", str(project), "repo")
    (copy / "patch").write_bytes(store.read_bytes(source.git_diff_digest))
    git(copy / "repo", "apply", str(copy / "patch"))
    made = copy / "repo" / below
    assert (made / "kept.py").read_text() == "x = 2\n"
    for name, text in NEW_FILES.items():
        assert (made / name).read_bytes() == text.encode(), name
    assert (made / "run.sh").stat().st_mode & 0o111
    for name in ("ignored.py", "data.parquet", "odd\\name.py", "binary.py"):
        assert not (made / name).exists()


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("diff.external", "true"),
        ("color.ui", "always"),
        ("diff.noprefix", "true"),
        ("diff.mnemonicPrefix", "true"),
        ("diff.context", "0"),
        ("diff.relative", "true"),
        ("diff.renames", "copies"),
        ("diff.orderFile", "/nowhere"),
    ],
)
def test_a_users_git_configuration_does_not_spoil_the_patch(
    store: ArtifactStore,
    project: Path,
    tmp_path_factory: pytest.TempPathFactory,
    key: str,
    value: str,
) -> None:
    git(project, "init", "-q")
    git(project, "add", ".")
    git(project, "commit", "-qm", "first")
    git(project, "config", key, value)
    (project / "pkg" / "steps.py").write_text("y = 3\n")
    (project / "new.py").write_text("z = 1\n")
    git(project, "mv", "flow.py", "moved.py")
    source = capture(store, project, [])
    assert source.git_diff_digest is not None
    copy = tmp_path_factory.mktemp("copy")
    git(copy, "clone", "-q", str(project), "repo")
    (copy / "patch").write_bytes(store.read_bytes(source.git_diff_digest))
    git(copy / "repo", "apply", "--check", str(copy / "patch"))
    git(copy / "repo", "apply", str(copy / "patch"))
    assert (copy / "repo" / "pkg" / "steps.py").read_text() == "y = 3\n"
    assert (copy / "repo" / "new.py").read_text() == "z = 1\n"
    assert (copy / "repo" / "moved.py").read_text() == "x = 1\n"


def test_what_is_large_or_secret_is_left_out_of_the_patch_and_named(
    store: ArtifactStore, project: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    secrets = (".env", "server.pem", "id_rsa", "my_Secrets.yaml", "credentials.toml")
    for name in (*secrets, "shrinks.bin", "gone.bin"):
        (project / name).write_bytes(b"old" * MAX_FILE_BYTES)
    git(project, "init", "-q")
    git(project, "add", "--force", ".")
    git(project, "commit", "-qm", "first")
    assert capture(store, project, []).git_diff_digest is None
    for name in secrets:
        (project / name).write_text("hunter2\n")
    (project / "shrinks.bin").write_text("small")
    (project / "gone.bin").unlink()
    (project / "data.csv").write_bytes(b"1,2\n" * MAX_FILE_BYTES)
    (project / "flow.py").write_text("x = 2\n")
    (project / "new_secret.py").write_text("hunter2\n")
    (project / "new_large.py").write_bytes(b"#" * (MAX_FILE_BYTES + 1))
    (project / "line\nbreak.py").write_text("x\n")
    source = capture(store, project, [])
    assert source.git_diff_digest is not None
    patch = store.read_bytes(source.git_diff_digest)
    assert b"hunter2" not in patch
    assert len(patch) < 2000
    assert patch.decode().partition("diff --git")[0].splitlines() == [
        "# left out: .env, called as secrets are",
        "# left out: credentials.toml, called as secrets are",
        "# left out: data.csv, of 4194304 bytes",
        "# left out: gone.bin, of 3145728 bytes",
        "# left out: id_rsa, called as secrets are",
        "# left out: my_Secrets.yaml, called as secrets are",
        "# left out: server.pem, called as secrets are",
        "# left out: shrinks.bin, of 3145728 bytes",
        "# left out: 'line\\nbreak.py', which is no text or called oddly",
        "# left out: new_large.py, of 1048577 bytes",
        "# left out: new_secret.py, called as secrets are",
    ]
    copy = tmp_path_factory.mktemp("copy")
    git(copy, "clone", "-q", str(project), "repo")
    (copy / "patch").write_bytes(patch)
    git(copy / "repo", "apply", str(copy / "patch"))
    assert (copy / "repo" / "flow.py").read_text() == "x = 2\n"


def test_a_run_of_which_only_a_large_file_changed_does_not_read_as_clean(
    store: ArtifactStore, project: Path
) -> None:
    git(project, "init", "-q")
    git(project, "add", ".")
    git(project, "commit", "-qm", "first")
    (project / "data.csv").write_bytes(b"1,2\n" * MAX_FILE_BYTES)
    source = capture(store, project, [])
    assert source.git_diff_digest is not None
    assert store.read_bytes(source.git_diff_digest) == (b"# left out: data.csv, of 4194304 bytes\n")


def test_source_files_called_as_secrets_are_named_and_not_stored(
    store: ArtifactStore, project: Path
) -> None:
    (project / "credentials.toml").write_text("password = 'hunter2'\n")
    (project / "pkg" / "secrets.py").write_text("token = 'hunter2'\n")
    assert files_of(store, project) == [LEFT_OUT, "flow.py", "pkg/steps.py"]
    digest = capture(store, project, []).code_digest
    assert digest is not None
    named = load_tree(store, digest).get(LEFT_OUT)
    assert store.read_bytes(named.digest) == b"credentials.toml\npkg/secrets.py\n"


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (["--api-key", "k", "x"], ["--api-key", "***", "x"]),
        (["--token=t", "--db-password=p=q"], ["--token=***", "--db-password=***"]),
        (["--client-secret-value", "-v"], ["--client-secret-value", "***"]),
        (["--HF_TOKEN", "t"], ["--HF_TOKEN", "***"]),
        (["--use-token", "--lr=0.1"], ["--use-token", "--lr=0.1"]),
        (["auth.password=p"], ["auth.password=***"]),
        (["--db", "postgresql://me:pw@host/x"], ["--db", "postgresql://me:***@host/x"]),
        (["--max-tokens", "5", "--tokenizer=bpe"], ["--max-tokens", "5", "--tokenizer=bpe"]),
    ],
)
def test_the_recorded_command_holds_no_secrets(
    monkeypatch: pytest.MonkeyPatch, given: list[str], kept: list[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["train.py", *given])
    assert command_line() == ["train.py", *kept]


def test_the_environment_names_every_installed_distribution(
    store: ArtifactStore, project: Path
) -> None:
    source = capture(store, project, [])
    assert source.environment_digest is not None
    environment = json.loads(store.read_bytes(source.environment_digest))
    assert environment["msgspec"]
    assert environment["python"] == source.python


def test_versions_are_those_that_the_library_tells() -> None:
    told = {one.name: one.version for one in distributions()}
    assert installed() == dict(sorted(told.items())) | {"python": platform.python_version()}


def test_symbolic_links_and_large_files_are_left_out(store: ArtifactStore, project: Path) -> None:
    (project / "link.py").symlink_to(project / "flow.py")
    (project / "large.py").write_bytes(b"#" * (1 << 21))
    assert files_of(store, project) == ["flow.py", "pkg/steps.py"]


def test_a_process_is_known_until_it_ends_and_not_mistaken_for_its_successor() -> None:
    child = subprocess.Popen(["sleep", "60"])
    identity = process_identity(child.pid)
    if identity is None:
        pytest.skip("this system does not say when a process started")
    assert not is_gone(identity)
    assert is_gone(identity[:-1] + str((int(identity[-1]) + 1) % 10))
    child.kill()
    child.wait()
    assert is_gone(identity)
    assert not is_gone("elsewhere/0/1/2")
