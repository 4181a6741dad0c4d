"""Signed statements of what the journal holds, and the key that signs them.

A checkpoint is a text of origin, size and root with an Ed25519 signature beneath. Whoever keeps
one outside can later show that the journal still begins with what it held then. The private
key lies beside the database, never in it: who can edit rows cannot sign.

Sources: C2SP signed-note, C2SP tlog-checkpoint, RFC 8032.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import stat
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from millwright.artifacts.files import Aside, explain
from millwright.core.errors import Corrupt, Denied, Invalid, NotFound
from millwright.journal.merkle import HASH_BYTES

KEY_FILE = "journal.key"
KEY_MODE = 0o600
FOLDER_MODE = 0o700
DSSE = b"DSSEv1 "
"""What begins every message of a signed statement; no origin has white space in it."""

_ED25519 = b"\x01"
_ID_BYTES = 4
_PUBLIC_BYTES = 32
_NAME = re.compile(r"[^\s+\x00-\x1f]+")
_SIZE = re.compile(r"0|[1-9][0-9]{0,18}")
_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f]")
_SIGNATURE = re.compile(r"— ([^\s+]+) ([A-Za-z0-9+/]+={0,2})")


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What a checkpoint says once its signature holds."""

    origin: str
    size: int
    root: bytes


@dataclass(frozen=True, slots=True)
class VerifierKey:
    """The public half of a signing key and the name it signs under."""

    name: str
    public: bytes

    @property
    def key_id(self) -> bytes:
        """The four bytes that stand before each of its signatures."""
        data = self.name.encode() + b"\n" + _ED25519 + self.public
        return hashlib.sha256(data).digest()[:_ID_BYTES]

    def has_signed(self, signature: bytes, data: bytes) -> bool:
        """Tell whether `signature` is this key's, over exactly `data`."""
        try:
            Ed25519PublicKey.from_public_bytes(self.public).verify(signature, data)
        except InvalidSignature:
            return False
        return True

    def text(self) -> str:
        """Return the key as C2SP writes it: name, key id in hexadecimal, type and key in base64."""
        data = base64.b64encode(_ED25519 + self.public).decode()
        return f"{self.name}+{self.key_id.hex()}+{data}"

    @classmethod
    def parse(cls, text: str) -> VerifierKey:
        """Return the key that `text` spells; raises Invalid when it spells none."""
        name, _, rest = text.strip().partition("+")
        key_id, _, data = rest.partition("+")
        raw = _decode_base64(data)
        if not _NAME.fullmatch(name) or raw is None or len(raw) != 1 + _PUBLIC_BYTES:
            raise Invalid(
                f"{text.strip()[:120]!r} is not a verifier key",
                why="it reads NAME+KEYID+KEY, with an Ed25519 key of 33 bytes in base64",
            )
        if raw[:1] != _ED25519:
            raise Invalid(
                f"the verifier key {name} is of type {raw[0]}", why="only Ed25519 (1) is known"
            )
        key = cls(name, raw[1:])
        if key.key_id.hex() != key_id:
            raise Invalid(
                f"the verifier key {name} is damaged",
                why=f"its id reads {key_id!r}, its bytes give {key.key_id.hex()}",
            )
        return key


class SigningKey:
    """The private key that signs checkpoints, and statements about model versions."""

    def __init__(self, private: Ed25519PrivateKey) -> None:
        self._private = private

    @classmethod
    def load(cls, folder: Path) -> SigningKey:
        """Return the key kept in `folder`.

        Raises NotFound when there is none, Denied when it may not be read or others may, and
        Corrupt when the file holds something else.
        """
        path = folder / KEY_FILE
        try:
            mode = path.stat().st_mode
            data = path.read_bytes()
        except FileNotFoundError as error:
            raise NotFound(
                f"there is no signing key at {path}",
                fix="restore it from where it is kept; a new key cannot continue its signatures",
            ) from error
        except OSError as error:
            raise explain(error, f"cannot read the signing key {path}") from error
        if mode & (stat.S_IRWXO | stat.S_IWGRP):
            raise Denied(
                f"the signing key {path} is open to other users (mode {stat.S_IMODE(mode):04o})",
                why="whoever reads it can sign a journal of their own making",
                fix=f"chmod 600 {path}",
            )
        return cls(_parse_private(data, path))

    @classmethod
    def load_or_create(cls, folder: Path) -> SigningKey:
        """Return the key kept in `folder`, making folder and key when there is none.

        Of two processes that make one at once both get the same. Raises as `load`, and Denied
        or Failed when the key cannot be written.
        """
        try:
            return cls.load(folder)
        except NotFound:
            pass
        what = f"cannot write the signing key to {folder}"
        try:
            folder.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
        except OSError as error:
            raise explain(error, what) from error
        private = Ed25519PrivateKey.generate()
        with Aside(folder, mode=KEY_MODE, what=what) as aside:
            aside.write(private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
            aside.link_to(folder / KEY_FILE)
        return cls.load(folder)

    def verifier(self, name: str) -> VerifierKey:
        """Return the public half, to sign and be checked under `name`.

        Raises Invalid for a name that a note cannot carry: empty, with white space or with +.
        """
        if not _NAME.fullmatch(name):
            raise Invalid(
                f"{name!r} cannot name a key", why="a key's name has no white space and no '+'"
            )
        return VerifierKey(name, self._private.public_key().public_bytes_raw())

    def derive(self, purpose: str) -> bytes:
        """Return 32 secret bytes for another use of this home's, the same each time (RFC 5869)."""
        from cryptography.hazmat.primitives.hashes import SHA256
        from cryptography.hazmat.primitives.kdf.hkdf import HKDF

        kdf = HKDF(algorithm=SHA256(), length=32, salt=None, info=f"millwright/{purpose}".encode())
        return kdf.derive(self._private.private_bytes_raw())

    def sign(self, checkpoint: Checkpoint) -> str:
        """Return the signed note for `checkpoint`, whose origin is the name it is signed under."""
        key = self.verifier(checkpoint.origin)
        text = f"{checkpoint.origin}\n{checkpoint.size}\n{_base64(checkpoint.root)}\n"
        signature = _base64(key.key_id + self._private.sign(text.encode()))
        return f"{text}\n— {key.name} {signature}\n"

    def sign_statement(self, data: bytes) -> bytes:
        """Return the signature of a DSSE message; a checkpoint's text never begins as one."""
        assert data.startswith(DSSE), "one key signs two kinds of things, which must differ"
        return self._private.sign(data)


def parse(note: str) -> Checkpoint:
    """Return what a note says, signatures unchecked; raises Invalid when it is no checkpoint."""
    return _parse_text(_split_note(note)[0])


def verify(note: str, key: VerifierKey) -> Checkpoint:
    """Return what a note says, having checked that `key` signed it.

    Signatures by other keys are passed over, as the format asks. Raises Invalid when the note is
    no checkpoint, and Corrupt when it lacks this key's signature or carries a false one.
    """
    text, signatures = _split_note(note)
    checkpoint = _parse_text(text)
    ours = [data for name, data in signatures if name == key.name and data[:4] == key.key_id]
    if not ours:
        raise Corrupt(
            f"the checkpoint of size {checkpoint.size} is not signed by the key {key.name}",
            why=f"no signature under it bears the id {key.key_id.hex()}",
        )
    if not all(key.has_signed(data[_ID_BYTES:], text.encode()) for data in ours):
        raise Corrupt(
            f"the signature under the checkpoint of size {checkpoint.size} is false",
            why=f"the key {key.name} did not sign this text",
        )
    if checkpoint.origin != key.name:
        raise Corrupt(f"the checkpoint is of {checkpoint.origin!r}, not of {key.name!r}")
    return checkpoint


def _split_note(note: str) -> tuple[str, list[tuple[str, bytes]]]:
    text, blank, tail = note.rpartition("\n\n")
    lines = tail.removesuffix("\n").split("\n")
    if not blank or not tail.endswith("\n") or _CONTROL.search(note):
        raise _no_checkpoint("it is not a text, an empty line and signatures")
    signatures: list[tuple[str, bytes]] = []
    for line in lines:
        match = _SIGNATURE.fullmatch(line)
        data = _decode_base64(match[2]) if match else None
        if match is None or data is None or len(data) <= _ID_BYTES:
            raise _no_checkpoint(f"{line[:80]!r} is not a signature line")
        signatures.append((match[1], data))
    return text + "\n", signatures


def _parse_text(text: str) -> Checkpoint:
    lines = text.removesuffix("\n").split("\n")
    if len(lines) < 3 or not lines[0]:
        raise _no_checkpoint("it has no origin, size and root")
    root = _decode_base64(lines[2])
    if not _SIZE.fullmatch(lines[1]) or root is None or len(root) != HASH_BYTES:
        raise _no_checkpoint("its second line is not a size, or its third not a SHA-256 in base64")
    return Checkpoint(lines[0], int(lines[1]), root)


def _no_checkpoint(why: str) -> Invalid:
    return Invalid(
        "this is not a checkpoint",
        why=why,
        fix="give the text that `mill audit checkpoint` wrote, unchanged",
    )


def _parse_private(data: bytes, path: Path) -> Ed25519PrivateKey:
    try:
        private = load_pem_private_key(data, password=None)
    except (ValueError, TypeError) as error:
        raise _no_key(path, str(error)) from error
    if not isinstance(private, Ed25519PrivateKey):
        raise _no_key(path, f"it holds a {type(private).__name__}")
    return private


def _no_key(path: Path, why: str) -> Corrupt:
    return Corrupt(
        f"{path} is not an unencrypted Ed25519 key in PEM form",
        why=why,
        fix="restore it from where it is kept; without it no new checkpoint can be signed",
    )


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _decode_base64(text: str) -> bytes | None:
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
    # The standard's decoder lets stray bits in the last character pass; one value, one spelling.
    return data if _base64(data) == text else None
