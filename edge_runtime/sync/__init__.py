"""Scale-out: a gallery's changes shipped to a Milvus server, and the gallery interface over what arrived there.

Needs pymilvus (extra `milvus`), imported when a server is first spoken to.
"""

from __future__ import annotations

from edge_runtime.sync.client import Address
from edge_runtime.sync.gallery import MilvusGallery, RemoteHit
from edge_runtime.sync.ship import Shipped, Shipper

__all__ = ["Address", "MilvusGallery", "RemoteHit", "Shipped", "Shipper"]
