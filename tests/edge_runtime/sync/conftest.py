"""Servers that run for all tests, and galleries to ship to them."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import milvus_servers
import pytest
from shipped_rows import DIM

from edge_runtime.gallery import Gallery
from edge_runtime.sync import Address, Shipper


@pytest.fixture(scope="session", params=["milvus-lite", "milvus"])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[milvus_servers.Server]:
    started = milvus_servers.start(request.param, tmp_path_factory.mktemp(request.param))
    yield started
    started.stop()


@pytest.fixture(scope="session")
def lite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[milvus_servers.Server]:
    """For what does not depend on the kind of server."""
    started = milvus_servers.start("milvus-lite", tmp_path_factory.mktemp("lite"))
    yield started
    started.stop()


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "gallery.db"


@pytest.fixture
def opened(place: Path) -> Iterator[Gallery]:
    with Gallery.open(place, space_id="space", dim=DIM, index="numpy") as gallery:
        yield gallery


@pytest.fixture
def fresh_name() -> str:
    """A collection that no other test has."""
    return "c_" + uuid.uuid4().hex


class Ship:
    """Makes shippers and keeps what they say."""

    def __init__(self, place: Path, name: str) -> None:
        self.place, self.name = place, name
        self.said: list[str] = []

    def __call__(self, uri: str, wait: Callable[[float], bool] = lambda _: False, **options: Any) -> Shipper:
        address = Address(uri, options.pop("collection", self.name), options.pop("token", ""))
        return Shipper(options.pop("place", self.place), address, say=self.said.append, wait=wait, **options)

    def once(self, uri: str, *, check: bool = False, **options: Any) -> Any:
        with self(uri, **options) as shipper:
            return shipper.run(check=check)


@pytest.fixture
def ship(place: Path, fresh_name: str) -> Ship:
    return Ship(place, fresh_name)
