from __future__ import annotations

import base64
import stat
import threading
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from millwright.core.errors import Corrupt, Denied, Failed, Invalid, NotFound
from millwright.journal import checkpoints
from millwright.journal.checkpoints import Checkpoint, SigningKey, VerifierKey

# The public key of Go's checksum database, and the example of the tlog-checkpoint standard.
EXAMPLE_KEY = "sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8"
EXAMPLE = """example.com/behind-the-sofa
20852163
CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=

— example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=
"""  # noqa: E501
CHECKPOINT = Checkpoint("millwright/here", 1234, bytes(range(32)))


@pytest.fixture
def note(key: SigningKey) -> str:
    return key.sign(CHECKPOINT)


@pytest.fixture
def public(key: SigningKey) -> VerifierKey:
    return key.verifier(CHECKPOINT.origin)


class TestNotes:
    def test_a_checkpoint_has_the_form_of_its_standard(self, note: str) -> None:
        lines = note.split("\n")
        assert lines[:4] == [
            "millwright/here",
            "1234",
            base64.b64encode(bytes(range(32))).decode(),
            "",
        ]
        assert lines[4].startswith("— millwright/here ")
        assert lines[5:] == [""]

    def test_the_standards_own_example_is_read(self) -> None:
        checkpoint = checkpoints.parse(EXAMPLE)
        assert (checkpoint.origin, checkpoint.size) == ("example.com/behind-the-sofa", 20852163)

    def test_what_was_signed_is_read_back(self, note: str, public: VerifierKey) -> None:
        assert checkpoints.parse(note) == CHECKPOINT
        assert checkpoints.verify(note, public) == CHECKPOINT

    def test_signatures_of_others_and_further_lines_are_passed_over(
        self, key: SigningKey, public: VerifierKey
    ) -> None:
        other = SigningKey(Ed25519PrivateKey.generate())
        ours, theirs = key.sign(CHECKPOINT), other.sign(CHECKPOINT)
        both = ours + theirs.split("\n\n")[1]
        assert checkpoints.verify(both, public) == CHECKPOINT
        assert checkpoints.verify(both, other.verifier(CHECKPOINT.origin)) == CHECKPOINT

    @pytest.mark.parametrize(
        ("old", "new"), [("1234", "1235"), ("here\n", "hers\n"), ("AAEC", "BAEC")]
    )
    def test_a_changed_text_is_not_signed(
        self, note: str, public: VerifierKey, old: str, new: str
    ) -> None:
        with pytest.raises(Corrupt, match=r"signature under the checkpoint of size \d+ is false"):
            checkpoints.verify(note.replace(old, new, 1), public)

    def test_another_key_of_the_same_name_did_not_sign_it(self, note: str) -> None:
        other = SigningKey(Ed25519PrivateKey.generate()).verifier(CHECKPOINT.origin)
        with pytest.raises(Corrupt, match="not signed by the key millwright/here"):
            checkpoints.verify(note, other)

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "\n\n",
            "no signature\n1\nAAAA\n",
            "origin\n01\n" + "A" * 43 + "=\n\n— x AAAAAAAA\n",
            "origin\n-1\n" + "A" * 43 + "=\n\n— x AAAAAAAA\n",
            "origin\n1\n" + "A" * 40 + "\n\n— x AAAAAAAA\n",
            "origin\n1\n" + "A" * 42 + "B=\n\n— x AAAAAAAA\n",
            "origin\n1\n" + "A" * 43 + "=\n\n- x AAAAAAAA\n",
            "origin\n1\n" + "A" * 43 + "=\n\n— x AAAAAAAA",
            "origin\r\n1\n" + "A" * 43 + "=\n\n— x AAAAAAAA\n",
            "\n1\n" + "A" * 43 + "=\n\n— x AAAAAAAA\n",
        ],
    )
    def test_other_text_is_no_checkpoint(self, text: str, public: VerifierKey) -> None:
        with pytest.raises(Invalid, match="this is not a checkpoint"):
            checkpoints.verify(text, public)


class TestVerifierKeys:
    def test_the_standards_own_example_is_read(self) -> None:
        key = VerifierKey.parse(EXAMPLE_KEY)
        assert (key.name, key.key_id.hex()) == ("sum.golang.org", "033de0ae")
        assert key.text() == EXAMPLE_KEY

    def test_a_key_survives_being_written(self, public: VerifierKey) -> None:
        assert VerifierKey.parse(public.text() + "\n") == public

    @pytest.mark.parametrize(
        ("text", "why"),
        [
            ("", "is not a verifier key"),
            ("name+00000000", "is not a verifier key"),
            ("name+00000000+AAAA", "is not a verifier key"),
            (EXAMPLE_KEY.replace("033d", "033e"), "is damaged"),
            (EXAMPLE_KEY.replace("+Ac4", "+Bc4"), "is of type 5"),
        ],
    )
    def test_other_text_is_refused(self, text: str, why: str) -> None:
        with pytest.raises(Invalid, match=why):
            VerifierKey.parse(text)

    @pytest.mark.parametrize("name", ["", "two words", "a+b", "a\n"])
    def test_a_name_that_no_note_can_carry_is_refused(self, key: SigningKey, name: str) -> None:
        with pytest.raises(Invalid, match="cannot name a key"):
            key.verifier(name)


class TestKeyFiles:
    def test_a_key_is_made_once_and_only_its_owner_may_read_it(self, tmp_path: Path) -> None:
        folder = tmp_path / "home" / "keys"
        first = SigningKey.load_or_create(folder)
        assert SigningKey.load_or_create(folder).sign(CHECKPOINT) == first.sign(CHECKPOINT)
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert stat.S_IMODE((folder / "journal.key").stat().st_mode) == 0o600
        assert [path.name for path in folder.iterdir()] == ["journal.key"]

    def test_of_many_who_make_one_at_once_all_get_the_same(self, tmp_path: Path) -> None:
        notes: list[str] = []

        def make() -> None:
            notes.append(SigningKey.load_or_create(tmp_path / "keys").sign(CHECKPOINT))

        threads = [threading.Thread(target=make) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(notes) == 8
        assert len(set(notes)) == 1

    def test_a_missing_key_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(NotFound, match=r"no signing key at .*journal\.key"):
            SigningKey.load(tmp_path)

    @pytest.mark.parametrize("mode", [0o644, 0o602, 0o660])
    def test_a_key_open_to_others_is_refused(self, tmp_path: Path, mode: int) -> None:
        SigningKey.load_or_create(tmp_path)
        (tmp_path / "journal.key").chmod(mode)
        with pytest.raises(Denied, match=f"open to other users .mode {mode:04o}") as caught:
            SigningKey.load_or_create(tmp_path)
        assert caught.value.fix == f"chmod 600 {tmp_path / 'journal.key'}"

    @pytest.mark.parametrize("kind", ["garbage", "cut", "empty", "other"])
    def test_a_file_that_holds_no_key_is_refused_and_kept(self, tmp_path: Path, kind: str) -> None:
        SigningKey.load_or_create(tmp_path)
        path = tmp_path / "journal.key"
        pem = path.read_bytes()
        other = X25519PrivateKey.generate().private_bytes(
            Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
        )
        path.write_bytes(
            {"garbage": b"\xff" * 99, "cut": pem[:60], "empty": b"", "other": other}[kind]
        )
        before = path.read_bytes()
        with pytest.raises(Corrupt, match=r"journal\.key is not an unencrypted Ed25519 key"):
            SigningKey.load_or_create(tmp_path)
        assert path.read_bytes() == before

    def test_a_folder_that_cannot_be_made_is_named(self, tmp_path: Path) -> None:
        (tmp_path / "home").write_text("a file")
        with pytest.raises(Failed, match="signing key"):
            SigningKey.load_or_create(tmp_path / "home" / "keys")
