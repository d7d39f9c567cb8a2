"""The gallery of the device: a durable store of observations and the exact search over them."""

from __future__ import annotations

from edge_runtime.gallery.gallery import Gallery
from edge_runtime.gallery.row import UNKNOWN, Change, Filter, Hit, Person, Row

__all__ = ["UNKNOWN", "Change", "Filter", "Gallery", "Hit", "Person", "Row"]
