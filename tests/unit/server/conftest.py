"""A server on loopback over an example home, shared by the tests of one module."""

from __future__ import annotations

from fixtures.example_server import address, admin, admin_token, anybody, host

__all__ = ["address", "admin", "admin_token", "anybody", "host"]
