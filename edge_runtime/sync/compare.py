"""Make a collection's rows of a device equal to the gallery, whatever happened to either."""

from __future__ import annotations

from dataclasses import dataclass

from edge_runtime.gallery import Filter
from edge_runtime.sync import record
from edge_runtime.sync.client import Later
from edge_runtime.sync.collection import Collection
from edge_runtime.sync.outbox import Outbox


@dataclass(frozen=True)
class Compared:
    """What a comparison came to.

    Attributes:
        seq: the collection has all changes up to this one.
        sent: rows that it lacked, or had otherwise.
        deleted: rows that it had and the gallery has not.
    """

    seq: int
    sent: int
    deleted: int


def compare(outbox: Outbox, collection: Collection, device: str, batch: int) -> Compared:
    """Send what the collection lacks or has at another change, and delete what the gallery does not have.

    Reads the number and the change of every row of the device from the server, and every row of the gallery. Others
    may write the gallery meanwhile: a row that changes moves to the end of the changes, and is met there.

    Raises:
        Later: the server does not answer; nothing is wrong, begin again.
    """
    collection.load()
    mine = record.expression(Filter(), device) or ""
    there = {int(r["row_id"]): int(r["seq"]) for page in collection.pages(mine, ("row_id", "seq")) for r in page}
    if (counted := collection.count(mine)) != len(there):
        raise Later(f"{collection.address}: listed {len(there)} of {counted} rows")
    met: set[int] = set()
    seq = sent = deleted = 0
    while True:
        state, changes = outbox.read(seq, batch)
        collection.check_space(state.space_id)
        if not changes:
            break
        live = [(change, change.row) for change in changes if change.row is not None]
        lacking = [(c, row) for c, row in live if there.get(c.row_id) != c.seq]
        collection.upsert([record.record_of(device, c.row_id, c.seq, row) for c, row in lacking])
        met.update(change.row_id for change, _ in live)
        gone = [c.row_id for c in changes if c.row is None and (c.row_id in there or c.row_id in met)]
        collection.delete([record.key_of(device, row_id) for row_id in gone])
        met.update(gone)
        sent, deleted, seq = sent + len(lacking), deleted + len(gone), changes[-1].seq
    orphans = there.keys() - met
    collection.delete([record.key_of(device, row_id) for row_id in sorted(orphans)])
    return Compared(state.seq, sent, deleted + len(orphans))
