"""Signing with Ed25519. Verifying is `edge_runtime.bundle.signature`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from edge_runtime.bundle.signature import fingerprint
from reid.errors import UserError


def sign(key: Path) -> Callable[[bytes], bytes]:
    """What signs bytes with a private key (64 bytes).

    Raises:
        UserError: not an Ed25519 private key in PEM form without a pass phrase.
    """
    return load_private(key).sign


def load_private(key: Path) -> Ed25519PrivateKey:
    """A private key. Raises as `sign`."""
    try:
        found = serialization.load_pem_private_key(key.read_bytes(), password=None)
    except OSError as error:
        raise UserError(
            f"{key}: cannot be read ({error.strerror}); make one with: openssl genpkey -algorithm ed25519"
        ) from error
    except (ValueError, TypeError) as error:
        words = " ".join(str(error).split())[:120]
        raise UserError(f"{key}: not a private key in PEM form without a pass phrase ({words})") from error
    if not isinstance(found, Ed25519PrivateKey):
        raise UserError(f"{key}: is a key of type {type(found).__name__}; expected Ed25519")
    return found


def key_fingerprint(key: Path) -> str:
    """Fingerprint of the public half of a private key. Raises as `sign`."""
    return fingerprint(load_private(key).public_key().public_bytes_raw())
