"""Servers that run for all tests, and galleries to ship to them."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import milvus_servers
import pytest
from shipped_rows import DIM
from shippers import Ship

from edge_runtime.gallery import Gallery


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


@pytest.fixture
def ship(place: Path, fresh_name: str) -> Ship:
    return Ship(place, fresh_name)
