"""Shipping: a gallery's changes to a collection, exactly once in effect.

A batch is sent by upsert on a key that is the row's for ever, and only when the server has acknowledged it does the
watermark in the gallery's file move past it. Whoever is killed in between sends the batch again, to the same effect.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from edge_runtime.gallery import Change, Filter
from edge_runtime.gallery.store import State
from edge_runtime.sync import record
from edge_runtime.sync.backoff import pauses
from edge_runtime.sync.client import Address, Later
from edge_runtime.sync.collection import Collection
from edge_runtime.sync.compare import compare
from edge_runtime.sync.outbox import Outbox
from reid.errors import UserError

BATCH_BYTES = 16 * 2**20
"""Of the vectors of one upsert; a server takes 64 MiB in one message."""


@dataclass(frozen=True)
class Shipped:
    """What has been done since the shipper was made.

    Attributes:
        sent: rows that were upserted; one that was sent again counts again.
        deleted: rows that were deleted.
        outages: how often the server was away.
        watermark: the collection has all changes up to this one.
        left: how many changes it lacks, at most.
    """

    sent: int = 0
    deleted: int = 0
    outages: int = 0
    watermark: int = 0
    left: int = 0


class Shipper:
    """Ships one gallery to one collection. Close it, or use it as a context.

    Args:
        gallery: the file.
        address: where to; the collection is made if it is not there.
        device: what the rows' keys begin with; it must not change, and no other gallery may ship under it. None is the
            random name that every gallery gets when it is made.
        batch: changes to send at once.
        seconds: how long to wait for an answer of the server.
        say: is told of outages and of what was done about them, a line each.
        wait: waits so many seconds and says whether to stop now.

    Raises:
        UserError: the gallery cannot be opened, or the device cannot be one.
    """

    def __init__(
        self,
        gallery: Path,
        address: Address,
        *,
        device: str | None = None,
        batch: int = 500,
        seconds: float = 30.0,
        say: Callable[[str], None],
        wait: Callable[[float], bool],
        chance: random.Random | None = None,
    ) -> None:
        if device is not None:
            record.check_device(device)
        self._outbox = Outbox(gallery)
        state = self._outbox.state
        self.address, self.device = address.named(state.space_id), device or state.name
        known = max((self._outbox.watermark(name) or 0 for name in self._outbox.names(self._prefix)), default=0)
        self.shipped = Shipped(watermark=known, left=max(0, state.seq - known))
        self._batch = max(1, min(batch, BATCH_BYTES // (4 * state.dim)))
        self._seconds, self._say, self._wait, self._chance = seconds, say, wait, chance
        self._must_compare = self._begun = False

    def __enter__(self) -> Shipper:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the gallery."""
        self._outbox.close()

    def run(self, *, follow: bool = False, every: float = 1.0, patience: float = 60.0, check: bool = False) -> Shipped:
        """Ship all there is, and with `follow` all that comes, until told to stop.

        Args:
            follow: go on; look for changes every `every` seconds.
            patience: without `follow`, give up when the server has been away for so many seconds of waiting.
            check: compare every row of this device on the server with the gallery first, and put right what differs.

        Raises:
            UserError: the server refuses, the collection is another bundle's, a row cannot be sent (it is named), or
                patience ran out; all that was acknowledged stays so, and the next run goes on from there.
        """
        self._must_compare = check
        waits, waited = pauses(self._chance), 0.0
        # Without `follow`, what is written from now on is the next run's: a busy gallery would have no end.
        until = None if follow else self._outbox.state.seq
        while True:
            before = self.shipped
            try:
                with Collection(self.address, seconds=self._seconds).open(*self._space(), create=True) as collection:
                    if waited:
                        self._say(f"{self.address}: answers again")
                    self._ship(collection, until, every)
                return self.shipped
            except Later as trouble:
                if self.shipped.watermark > before.watermark:
                    waits, waited = pauses(self._chance), 0.0
                waiting = max(0, self._outbox.state.seq - self.shipped.watermark)
                self.shipped = replace(self.shipped, outages=self.shipped.outages + 1, left=waiting)
                left = f"{waiting} changes wait in the gallery"
                if not follow and waited >= patience:
                    raise UserError(f"{trouble}; gave up after {waited:.0f} s of waiting; {left}") from None
                pause = next(waits)
                self._say(f"{trouble}; {left}; trying again in {pause:.1f} s")
                waited += pause
                if self._wait(pause):
                    return self.shipped

    def forget(self) -> int:
        """Keep no tombstones any longer for this collection, or others of its name; how many watermarks that were."""
        names = self._outbox.names(self._prefix)
        for name in names:
            self._outbox.drop_watermark(name)
        return len(names)

    # -------------------------------------------------------------------------------------------------------- parts

    @property
    def _prefix(self) -> str:
        return f"milvus {self.address} {self.device} "

    def _space(self) -> tuple[str, int]:
        state = self._outbox.state
        return state.space_id, state.dim

    def _ship(self, collection: Collection, until: int | None, every: float) -> None:
        # Two that overtake each other could undo what was sent since; however they call the server.
        with self._outbox.alone(f"{collection.name_id} {self.device}"):
            # A collection that was dropped and made again has another random name, so that it begins at nothing.
            name = self._prefix + collection.name_id
            seq = self._begin(collection, name)
            while True:
                state, changes = self._outbox.read(seq, self._batch)
                collection.check_space(state.space_id)
                if changes:
                    self._send(collection, changes)
                reached = changes[-1].seq if changes else state.seq
                if reached > seq:
                    self._outbox.set_watermark(name, reached)
                    seq = reached
                self.shipped = replace(self.shipped, watermark=seq, left=max(0, state.seq - seq))
                if until is not None and seq >= until:
                    return
                if self._wait(0.0 if changes else every):
                    return

    def _begin(self, collection: Collection, name: str) -> int:
        """The watermark to go on from; where it cannot be trusted, compare first."""
        seq = self._outbox.watermark(name)
        why = self._why_compare(collection, seq, self._outbox.state)
        if seq is None:
            # Before the first row is sent: from now on deletions are remembered for this collection.
            self._outbox.set_watermark(name, 0)
            for old in self._outbox.names(self._prefix):
                if old != name:
                    self._outbox.drop_watermark(old)
        self._begun = True
        if why is None:
            return seq or 0
        self._say(f"{self.address}: {why}; comparing all rows of {self.device}")
        # 0 also says "compare" to the next run, should this one be killed.
        self._outbox.set_watermark(name, 0)
        done = compare(self._outbox, collection, self.device, self._batch)
        self._say(f"{self.address}: compared; sent {done.sent} rows that were missing or old, deleted {done.deleted}")
        self._count(done.sent, done.deleted)
        self._outbox.set_watermark(name, done.seq)
        self._must_compare = False
        return done.seq

    def _why_compare(self, collection: Collection, seq: int | None, state: State) -> str | None:
        if self._must_compare:
            return "asked to check"
        if seq and self._begun:
            return None
        mine = record.expression(Filter(), self.device)
        collection.load()
        if not seq and collection.count(mine or ""):
            return "has rows of this gallery, but how far it had come is not known"
        if seq and collection.count(f"{mine} and seq > {state.seq}"):
            return "is ahead of the gallery, which must be an older copy of itself"
        return None

    def _send(self, collection: Collection, changes: list[Change]) -> None:
        """A batch: each of its rows is in it once, so that what is upserted and what is deleted never meet."""
        records = [record.record_of(self.device, c.row_id, c.seq, c.row) for c in changes if c.row is not None]
        gone = [record.key_of(self.device, c.row_id) for c in changes if c.row is None]
        collection.upsert(records)
        collection.delete(gone)
        self._count(len(records), len(gone))

    def _count(self, sent: int, deleted: int) -> None:
        old = self.shipped
        self.shipped = replace(old, sent=old.sent + sent, deleted=old.deleted + deleted)
