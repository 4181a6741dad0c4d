"""Secrets that must be read again, kept so that the database alone does not give them away.

They are sealed with a key derived from the home's signing key, which lies beside the database
and never in it; bound to the id of what they belong to, so that one cannot be moved to another.

Sources: RFC 8439 (ChaCha20-Poly1305).
"""

from __future__ import annotations

import base64
import binascii
import os

from millwright.core.errors import Corrupt

NONCE_BYTES = 12
_FORM = "c1:"


class Seal:
    """Seals and opens texts with one key of 32 bytes."""

    def __init__(self, key: bytes) -> None:
        # Only who has a secret to keep waits for the library.
        from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

        self._cipher = ChaCha20Poly1305(key)

    def close(self, text: str, *, owner: str) -> str:
        """Return `text` sealed for the thing with the id `owner`."""
        nonce = os.urandom(NONCE_BYTES)
        sealed = self._cipher.encrypt(nonce, text.encode(), owner.encode())
        return _FORM + base64.b64encode(nonce + sealed).decode()

    def open(self, sealed: str, *, owner: str) -> str:
        """Return the text; raises Corrupt when it was sealed elsewhere, or for another thing."""
        from cryptography.exceptions import InvalidTag

        try:
            raw = base64.b64decode(sealed.removeprefix(_FORM), validate=True)
            nonce, body = raw[:NONCE_BYTES], raw[NONCE_BYTES:]
            return self._cipher.decrypt(nonce, body, owner.encode()).decode()
        except (InvalidTag, binascii.Error, ValueError) as error:
            raise Corrupt(
                f"the secret of {owner} cannot be read",
                why="it was sealed with another home's key, or was changed in the database",
                fix="give it a new secret",
            ) from error
