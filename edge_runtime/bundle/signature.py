"""Ed25519 signatures over the bytes of a manifest."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from reid.errors import UserError

_KEY_BYTES = 64 * 1024
SIGNATURE_BYTES = 64


def read_key(key: Path | bytes) -> bytes:
    """PEM text of a key, from a file or as it is.

    Raises:
        UserError: the file cannot be read.
    """
    if isinstance(key, bytes):
        return key
    try:
        with key.open("rb") as file:
            return file.read(_KEY_BYTES)
    except OSError as error:
        raise UserError(f"{key}: cannot be read ({error.strerror}); expected a public key in PEM form") from error


def public_key(key: Path | bytes, where: str) -> Any:
    """An `Ed25519PublicKey`.

    Args:
        key: a public key in PEM form, or where it lies. where: names the bundle in errors.

    Raises:
        UserError: it is none (a private one is called that), or `cryptography` is missing.
    """
    try:
        # What `verify` needs, too.
        from cryptography.exceptions import InvalidSignature as _  # noqa: F401
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
        from cryptography.hazmat.primitives.serialization import load_pem_public_key
    except ImportError:
        raise UserError(
            f"{where}: a key is pinned, and checking it needs cryptography; install it with: pip install cryptography"
        ) from None
    name = "the key" if isinstance(key, bytes) else str(key)
    pem = read_key(key)
    if b"PRIVATE KEY-----" in pem:
        file = "KEY.pem" if isinstance(key, bytes) else name
        raise UserError(f"{name}: this is a private key; make the public one with: openssl pkey -in {file} -pubout")
    try:
        public = load_pem_public_key(pem)
    except ValueError as error:
        raise UserError(f"{name}: not a public key in PEM form ({' '.join(str(error).split())[:120]})") from error
    if not isinstance(public, Ed25519PublicKey):
        raise UserError(f"{name}: is a key of type {type(public).__name__}; expected Ed25519")
    return public


def verify(manifest: bytes, signature: bytes | None, key: Path | bytes, where: str) -> str:
    """The fingerprint of the key, if it signed the bytes of a manifest.

    Args:
        manifest: as they are on disk. signature: 64 bytes; None: there is none.
        key, where: as of `public_key`.

    Raises:
        UserError: not signed, signed by another key, changed since, or as `public_key`.
    """
    public = public_key(key, where)
    from cryptography.exceptions import InvalidSignature

    mark = fingerprint(public.public_bytes_raw())
    if signature is None:
        raise UserError(f"{where}: is not signed, and key {mark} is pinned; export it with --sign, or pin no key")
    try:
        public.verify(signature, manifest)
    except InvalidSignature:
        raise UserError(
            f"{where}: its signature is not by key {mark}, or manifest.json has changed since; get the bundle again "
            "from whom you trust"
        ) from None
    return mark


def fingerprint(public: bytes) -> str:
    """What people compare: the first 16 hex digits of the sha256 of the 32 bytes of a public key."""
    return hashlib.sha256(public).hexdigest()[:16]
