"""Shippers for tests."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from edge_runtime.sync import Address, Shipper


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
