"""A collection of rows on a Milvus server: made, checked, written, read."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from edge_runtime.gallery.row import Floats
from edge_runtime.sync import record
from edge_runtime.sync.client import Address, Later, connect, told
from reid.errors import UserError

FORMAT = "1"
"""Of the fields below."""
MOST_HITS = 16_384
"""What Milvus gives for one search, at most; also the most queries of one."""
PAGE = 2000
LONGEST_VECTOR = 32_768


class Collection:
    """An open collection. Not for several threads at once where it is written.

    What a bundle's embeddings are (`space_id`, their width) and a random name of the collection itself (`name_id`) are
    properties of it on the server, set when it is made.

    Raises:
        UserError: it is no collection of a gallery, or holds another bundle's embeddings.
        Later: the server does not answer.
    """

    def __init__(self, address: Address, *, seconds: float = 30.0) -> None:
        if address.collection is None:
            raise TypeError("Collection: the address has no name of a collection")
        self.address, self.name, self.seconds = address, address.collection, seconds
        self._client = connect(address, seconds)
        self.space_id, self.name_id, self.dim = "", "", 0

    def open(self, space_id: str | None, dim: int | None, *, create: bool) -> Collection:
        """Check it, or make it if it is not there and may be made."""
        try:
            with self._told():
                there = self._client.has_collection(self.name, timeout=self.seconds)
            if not there:
                if not create or space_id is None or dim is None:
                    raise UserError(f"{self.address}: no such collection; `edge sync` makes it")
                self._make(space_id, dim)
            self._check(space_id, dim)
            return self
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def __enter__(self) -> Collection:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def check_space(self, space_id: str) -> None:
        """Refuse another bundle's embeddings.

        Raises:
            UserError: the collection is of another space.
        """
        if self.space_id != space_id:
            raise UserError(
                f"{self.address}: holds embeddings of bundle space {self.space_id}; these are of {space_id}: "
                "choose another with --collection"
            )

    # ------------------------------------------------------------------------------------------------------ writing

    def upsert(self, records: list[dict[str, Any]]) -> None:
        """Put records in, in the place of those with the same keys; the server has them when this returns."""
        if records:
            with self._told():
                self._client.upsert(self.name, records, timeout=self.seconds)

    def delete(self, keys: list[str]) -> None:
        """Take records away; those that are not there are passed over."""
        for start in range(0, len(keys), PAGE):
            with self._told():
                self._client.delete(self.name, ids=keys[start : start + PAGE], timeout=self.seconds)

    # ------------------------------------------------------------------------------------------------------ reading

    def load(self) -> None:
        """Have the server hold it ready to be read, which after a start of the server can take it a minute."""
        with self._told():
            if not self._client.list_indexes(self.name, timeout=self.seconds):
                self._client.create_index(self.name, self._index(), timeout=self.seconds)
            self._client.load_collection(self.name, timeout=self.seconds)

    def count(self, expression: str, *, fresh: bool = True) -> int:
        """How many records meet an expression."""
        with self._told():
            found = self._client.query(
                self.name, expression, ["count(*)"], timeout=self.seconds, consistency_level=_level(fresh)
            )
            return int(found[0]["count(*)"])

    def pages(
        self, expression: str, fields: Sequence[str], *, fresh: bool = True, size: int = PAGE
    ) -> Iterator[list[dict[str, Any]]]:
        """All records that meet an expression, in lists."""
        if fresh:
            # The iterator takes what is seen now, whatever level it is asked for; after this that is everything.
            self.count(expression)
        with self._told():
            pages = self._client.query_iterator(
                self.name,
                batch_size=size,
                filter=expression,
                output_fields=list(fields),
                timeout=self.seconds,
                consistency_level=_level(fresh),
            )
        try:
            while True:
                with self._told():
                    found = pages.next()
                if not found:
                    return
                yield list(found)
        finally:
            pages.close()

    def search(
        self, queries: Floats, k: int, expression: str, fields: Sequence[str], *, fresh: bool = True
    ) -> list[list[tuple[float, dict[str, Any]]]]:
        """(score, record) of the best k <= `MOST_HITS` records of each query, best first, by inner product."""
        answers: list[list[tuple[float, dict[str, Any]]]] = []
        step = max(1, MOST_HITS // k)
        for start in range(0, len(queries), step):
            with self._told():
                found = self._client.search(
                    self.name,
                    data=list(queries[start : start + step]),
                    filter=expression,
                    limit=k,
                    output_fields=list(fields),
                    search_params={"metric_type": "IP"},
                    timeout=self.seconds,
                    consistency_level=_level(fresh),
                )
                answers += [[(float(hit["distance"]), dict(hit["entity"])) for hit in hits] for hits in found]
        return answers

    # -------------------------------------------------------------------------------------------------------- parts

    @contextmanager
    def _told(self) -> Iterator[None]:
        with told(self.address):
            yield

    def _make(self, space_id: str, dim: int) -> None:
        from pymilvus import DataType, MilvusClient

        if dim > LONGEST_VECTOR:
            raise UserError(f"{self.address}: embeddings have width {dim}; Milvus takes up to {LONGEST_VECTOR}")
        schema = MilvusClient.create_schema(auto_id=False, enable_dynamic_field=False)
        schema.add_field("key", DataType.VARCHAR, is_primary=True, max_length=record.KEY_BYTES)
        schema.add_field("device", DataType.VARCHAR, max_length=record.DEVICE_BYTES)
        for name in ("row_id", "number", "seq"):
            schema.add_field(name, DataType.INT64)
        for name in ("person", "camera"):
            schema.add_field(name, DataType.VARCHAR, max_length=record.NAME_BYTES)
        schema.add_field("modality", DataType.VARCHAR, max_length=16)
        schema.add_field("time", DataType.DOUBLE)
        schema.add_field("metadata", DataType.JSON)
        schema.add_field("vector", DataType.FLOAT_VECTOR, dim=dim)
        properties = {"reid.format": FORMAT, "reid.space_id": space_id, "reid.name": uuid.uuid4().hex}
        try:
            with self._told():
                self._client.create_collection(
                    self.name, schema=schema, index_params=self._index(), properties=properties, timeout=self.seconds
                )
        except Later:
            # Another device may have made it at this moment.
            with self._told():
                if not self._client.has_collection(self.name, timeout=self.seconds):
                    raise

    def _index(self) -> Any:
        """Exact search: approximate indexes lose most of what a narrow filter leaves."""
        indexes = self._client.prepare_index_params()
        indexes.add_index("vector", index_type="FLAT", metric_type="IP")
        return indexes

    def _check(self, space_id: str | None, dim: int | None) -> None:
        with self._told():
            found = self._client.describe_collection(self.name, timeout=self.seconds)
        said = {str(key): str(value) for key, value in dict(found.get("properties") or {}).items()}
        vectors = [f for f in found["fields"] if f["name"] == "vector"]
        if "reid.space_id" not in said or "reid.name" not in said or not vectors:
            raise UserError(f"{self.address}: is not a collection of a gallery; choose another with --collection")
        if said.get("reid.format") != FORMAT:
            raise UserError(
                f"{self.address}: is of format {said.get('reid.format')}; this program knows {FORMAT}; "
                "use the version that made it or choose another with --collection"
            )
        self.space_id, self.name_id = said["reid.space_id"], said["reid.name"]
        self.dim = int(vectors[0]["params"]["dim"])
        if space_id is not None:
            self.check_space(space_id)
        if dim is not None and self.dim != dim:
            raise UserError(f"{self.address}: holds embeddings of width {self.dim}; these have {dim}")


def _level(fresh: bool) -> str:
    """Whether to wait until all that was written before is seen, or to take what is seen now."""
    return "Strong" if fresh else "Eventually"
