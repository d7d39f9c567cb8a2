"""Speaking to a Milvus server: where it is, a connection, and what its errors mean."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from reid.errors import UserError
from reid.extras import require

TOKEN_VARIABLE = "MILVUS_TOKEN"
SCHEMES = ("http", "https", "tcp", "unix")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,254}")
_LONGEST_REASON = 200
# Of MilvusException: words of refusals that no second attempt will change.
_REFUSED = ("unauthenticated", "permission_denied", "permission deny", "auth check failure", "invalid token")
_NOT_SO = {"DataNotMatchException", "ParamError", "SchemaNotReadyException", "DataTypeNotMatchException"}


class Later(Exception):
    """It did not work now and may later: the server is away, starting, or too busy. One line says why."""


@dataclass(frozen=True)
class Address:
    """A collection on a server.

    Attributes:
        uri: http://host:19530, https://host, or unix:/path of a socket; a path after the host names the database.
        collection: its name; None stands for `default_collection` of the bundle's space.
        token: "user:password" or an API key; never shown.

    Raises:
        UserError: the URI or the name cannot be one.
    """

    uri: str
    collection: str | None = None
    token: str = field(default="", repr=False)

    def __post_init__(self) -> None:
        try:
            parts = urlsplit(self.uri)
            place = parts.path if parts.scheme == "unix" else parts.hostname
            known = parts.scheme in SCHEMES and bool(place) and (parts.scheme == "unix" or parts.port != 0)
        except ValueError:
            known = False
        if "@" in self.uri:
            raise UserError(f"--to: has a name or password in the URI; set {TOKEN_VARIABLE}=user:password instead")
        if not known:
            raise UserError(
                f"--to {self.uri}: expected the URI of a Milvus server, such as http://127.0.0.1:19530 or https://host"
            )
        if self.collection is not None and not _NAME.fullmatch(self.collection):
            raise UserError(
                f"--collection {self.collection}: expected letters, digits and _, not beginning with a digit"
            )

    def named(self, space_id: str) -> Address:
        """The same with the collection's name filled in."""
        return self if self.collection else Address(self.uri, default_collection(space_id), self.token)

    def __str__(self) -> str:
        return f"{self.uri} {self.collection or ''}".rstrip()


def default_collection(space_id: str) -> str:
    """Name of the collection that all galleries of a bundle's space share."""
    return "reid_" + re.sub(r"[^A-Za-z0-9]", "_", space_id)[:16]


def connect(address: Address, seconds: float) -> Any:
    """A `pymilvus.MilvusClient` of one's own.

    Raises:
        UserError: pymilvus is not installed, or the server refuses the token.
        Later: there is no answer.
    """
    require("milvus", "speaking to a Milvus server", "pymilvus")
    import pymilvus

    # It writes every refused connection with its traceback to standard error, by a handler of its own. What is worth
    # saying is said here, in one line and without the token.
    logging.getLogger("pymilvus").setLevel(logging.CRITICAL + 1)
    with told(address):
        return pymilvus.MilvusClient(address.uri, token=address.token, timeout=seconds, dedicated=True)


@contextmanager
def told(address: Address) -> Iterator[None]:
    """Turn errors of pymilvus and gRPC into `Later` or, where waiting is no use, `UserError`."""
    import grpc
    from pymilvus.exceptions import MilvusException

    try:
        yield
    except (MilvusException, grpc.RpcError) as error:
        # What pymilvus says of a connection is the same whatever is wrong; what gRPC said lies beneath.
        causes = list(_causes(error))
        reason = _reason(causes[-1], address.token)
        if any(word in str(cause).lower() for cause in causes for word in _REFUSED):
            raise UserError(f"{address}: refused ({reason}); is {TOKEN_VARIABLE} right, may it use this?") from None
        if type(error).__name__ in _NOT_SO:
            raise UserError(f"{address}: {reason}; is the collection one of a gallery?") from None
        raise Later(f"{address}: {reason}") from None


def _causes(error: BaseException) -> Iterator[BaseException]:
    """An error and those that it came from, while they are errors of gRPC or pymilvus."""
    import grpc
    from pymilvus.exceptions import MilvusException

    met: list[BaseException] = []
    found: BaseException | None = error
    while isinstance(found, (MilvusException, grpc.RpcError)):
        met.append(found)
        yield found
        # pymilvus raises errors from themselves, so that the chain can be a ring.
        beneath = (found.__cause__, found.__context__)
        found = next((each for each in beneath if each is not None and not any(each is old for old in met)), None)


def _reason(error: Any, token: str) -> str:
    """An error's message in one short line, without the token."""
    details = error.details() if hasattr(error, "details") else None
    text = str(getattr(error, "message", None) or details or error)
    for secret in filter(None, (token, token.partition(":")[2])):
        text = text.replace(secret, "***")
    text = " ".join(text.split())
    return text if len(text) <= _LONGEST_REASON else text[:_LONGEST_REASON] + "..."
