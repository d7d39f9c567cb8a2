"""Shipping to real servers: everything arrives once in effect, whatever happens on the way."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from concurrent import futures
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from milvus_servers import Server
from shipped_rows import DIM, some_rows
from shippers import Ship

from edge_runtime.cli.sync import sync_command
from edge_runtime.gallery import Filter, Gallery
from edge_runtime.sync import Address, MilvusGallery, client, collection, record
from edge_runtime.sync.client import Later
from reid.errors import UserError

ROOT = Path(__file__).parents[3]
CHILD = Path(__file__).with_name("shipper_child.py")


def device_of(gallery: Gallery) -> str:
    return str(gallery._database.one("SELECT name FROM gallery")[0])


def raw(uri: str, name: str) -> list[dict[str, Any]]:
    """All records of a collection, read by pymilvus itself."""
    from pymilvus import MilvusClient

    found = MilvusClient(uri, timeout=60, dedicated=True)
    found.load_collection(name, timeout=60)
    fields = list(record.ALL)
    records = found.query(name, "row_id >= 0", fields, limit=10_000, consistency_level="Strong", timeout=60)
    found.close()
    return [dict(each) for each in records]


def assert_same(gallery: Gallery, uri: str, name: str, device: str | None = None) -> None:
    """The collection has each row of the gallery once, as it is, and nothing else of its device."""
    device = device or device_of(gallery)
    found = [each for each in raw(uri, name) if each["device"] == device]
    there = {int(each["row_id"]): each for each in found}
    assert len(found) == len(there)
    assert sorted(there) == gallery.ids()
    for row in gallery.rows(gallery.ids()):
        same = record.row_of(there[row.row_id or 0], row.row_id or 0)
        np.testing.assert_array_equal(same.embedding, row.embedding)
        assert replace(same, embedding=row.embedding) == replace(row, crop=None)


def test_rows_changes_and_deletions_arrive(server: Server, opened: Gallery, ship: Ship) -> None:
    opened.add([replace(row, crop=b"\xff\xd8 secret") for row in some_rows(230)])
    shipped = ship.once(server.uri, batch=50)
    assert (shipped.sent, shipped.deleted, shipped.left, shipped.outages) == (230, 0, 0, 0)
    assert_same(opened, server.uri, ship.name)
    opened.rename("ann", "eve")
    opened.delete(range(1, 60))
    opened.add(some_rows(20, seed=1))
    opened.compact()  # Tombstones that the collection lacks stay.
    shipped = ship.once(server.uri, batch=50)
    assert shipped.deleted == 59
    assert_same(opened, server.uri, ship.name)
    assert ship.once(server.uri) == replace(shipped, sent=0, deleted=0)
    assert ship.said == []


def test_several_devices_share_a_collection(lite: Server, opened: Gallery, ship: Ship, tmp_path: Path) -> None:
    other = tmp_path / "other.db"
    with Gallery.open(other, space_id="space", dim=DIM, index="numpy") as second:
        opened.add(some_rows(30))
        second.add(some_rows(40, seed=1))
        ship.once(lite.uri, device="one")
        ship.once(lite.uri, place=other, device="two")
        opened.delete(range(1, 11))
        ship.once(lite.uri, device="one")
        assert_same(opened, lite.uri, ship.name, "one")
        assert_same(second, lite.uri, ship.name, "two")
        with MilvusGallery.open(Address(lite.uri, ship.name)) as everyone:
            assert everyone.count == 60


def run_child(*words: object) -> subprocess.Popen[str]:
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    return subprocess.Popen(
        [sys.executable, str(CHILD), *map(str, words)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
    )


def lines(child: subprocess.Popen[str], count: int) -> list[str]:
    assert child.stdout is not None
    found = [child.stdout.readline() for _ in range(count)]
    assert all(found), "the child ended"
    return found


def kill(child: subprocess.Popen[str]) -> None:
    child.kill()
    child.communicate()
    assert child.returncode == -signal.SIGKILL


def test_a_shipper_killed_at_any_moment_loses_and_doubles_nothing(
    server: Server, opened: Gallery, ship: Ship, place: Path
) -> None:
    opened.add(some_rows(60))
    chance = random.Random(0)
    writer = run_child(place, "write", 1)
    assert writer.stdin is not None
    for round_ in range(3):
        shipper = run_child(place, "ship", server.uri, ship.name)
        writer.stdin.write("\n" * 30)  # It goes on writing, whatever the shipper does.
        writer.stdin.flush()
        lines(shipper, 2 * chance.randrange(2, 8) + round_ % 2)  # Just before, or just after, an acknowledgement.
        kill(shipper)
    writer.communicate()
    assert writer.returncode == 0
    ship.once(server.uri, batch=50)
    assert ship.said == []
    assert_same(opened, server.uri, ship.name)
    assert opened.verify() == []


def test_an_outage_is_said_and_waited_for(server: Server, opened: Gallery, ship: Ship) -> None:
    opened.add(some_rows(100))
    waits: list[float] = []

    def wait(seconds: float) -> bool:
        waits.append(seconds)
        if seconds == 0.125:  # All is shipped. More comes while the server is away.
            if not server.running and opened.count == 100:
                return False
            if opened.count > 100:
                return True
            server.stop()
            opened.delete(range(1, 31))
            opened.add(some_rows(50, seed=1))
        elif seconds > 0:
            opened.add(some_rows(1, seed=2))  # A local write does not mind.
            if sum(w >= 0.5 for w in waits) == 3:
                server.start()
        return False

    with ship(server.uri, wait, seconds=10) as shipper:
        shipped = shipper.run(follow=True, every=0.125)
    assert shipped.outages >= 3
    assert shipped.left == 0
    assert "changes wait in the gallery; trying again in" in ship.said[0]
    assert ship.said[-1].endswith("answers again")
    assert [w >= 0.5 for w in waits].count(True) == shipped.outages
    assert_same(opened, server.uri, ship.name)


def test_a_server_that_hangs_is_not_waited_for_longer_than_was_asked(lite: Server, opened: Gallery, ship: Ship) -> None:
    opened.add(some_rows(20))
    hung = False

    def wait(seconds: float) -> bool:
        nonlocal hung
        if seconds == 0.125 and not hung:
            lite.signal(signal.SIGSTOP)
            hung = True
            opened.add(some_rows(10, seed=1))
        elif seconds >= 0.5:
            lite.signal(signal.SIGCONT)
        elif seconds == 0.125:
            return True
        return False

    with ship(lite.uri, wait, seconds=1) as shipper:
        assert shipper.run(follow=True, every=0.125).outages >= 1
    assert "10 changes wait in the gallery; trying again in" in ship.said[0]
    assert_same(opened, lite.uri, ship.name)


def test_patience_ends_and_the_next_run_goes_on(opened: Gallery, ship: Ship, tmp_path: Path) -> None:
    pytest.importorskip("pymilvus")
    opened.add(some_rows(5))
    waits: list[float] = []
    with ship(f"unix:{tmp_path}/nobody", lambda s: bool(waits.append(s))) as shipper, pytest.raises(UserError) as error:
        shipper.run(patience=10)
    assert sum(waits[:-1]) < 10 <= sum(waits)
    assert "5 changes wait in the gallery" in str(error.value)
    assert len(ship.said) == len(waits)
    assert "connect failed" in ship.said[0]
    assert opened.count == 5


def test_a_refused_token_is_said_once_and_not_repeated(opened: Gallery, ship: Ship, tmp_path: Path) -> None:
    """As Milvus 2.3.5 says it with authorisation switched on."""
    pytest.importorskip("pymilvus")
    import grpc

    def refuse(_: bytes, context: grpc.ServicerContext) -> bytes:
        context.abort(grpc.StatusCode.UNAUTHENTICATED, "auth check failure, please check username and s3cret")
        raise AssertionError

    class Refusing(grpc.GenericRpcHandler):
        def service(self, _: object) -> Any:
            return grpc.unary_unary_rpc_method_handler(refuse)

    server = grpc.server(futures.ThreadPoolExecutor(1), handlers=[Refusing()])
    server.add_insecure_port(f"unix:{tmp_path}/socket")
    server.start()
    try:
        with pytest.raises(UserError, match=r"refused .*is MILVUS_TOKEN right") as error:
            ship.once(f"unix:{tmp_path}/socket", token="root:s3cret")
    finally:
        server.stop(None).wait()
    assert "s3cret" not in str(error.value)
    assert ship.said == []
    assert opened.count == 0


def test_a_busy_gallery_is_waited_for_and_nothing_is_lost(
    lite: Server, opened: Gallery, ship: Ship, place: Path
) -> None:
    opened.add(some_rows(10))
    other = sqlite3.connect(place, isolation_level=None)

    def wait(_: float) -> bool:
        if other.in_transaction:
            other.execute("ROLLBACK")
        return False

    with ship(lite.uri, wait) as shipper:
        shipper._outbox._gallery._database.one("PRAGMA busy_timeout = 1")
        other.execute("BEGIN IMMEDIATE")
        assert shipper.run().left == 0
    other.close()
    assert "another process has been writing it" in ship.said[0]
    assert_same(opened, lite.uri, ship.name)


@contextmanager
def failing(monkeypatch: pytest.MonkeyPatch, what: str, times: int = 1) -> Iterator[None]:
    """The server does it, but its answer is lost."""
    real = getattr(collection.Collection, what)
    left = [times]

    def lost(self: Any, items: Any) -> None:
        real(self, items)
        if items and left[0]:
            left[0] -= 1
            raise Later("the line is cut")

    with monkeypatch.context() as patch:
        patch.setattr(collection.Collection, what, lost)
        yield
    assert left == [0]


@pytest.mark.parametrize("what", ["upsert", "delete"])
def test_an_answer_that_is_lost_doubles_nothing(
    lite: Server, opened: Gallery, ship: Ship, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    opened.add(some_rows(40))
    ship.once(lite.uri, batch=10)
    opened.delete(range(1, 20))
    opened.add(some_rows(40, seed=1))
    with failing(monkeypatch, what, 2):
        assert ship.once(lite.uri, batch=10).outages == 2
    assert_same(opened, lite.uri, ship.name)


def test_deletions_after_a_first_run_that_was_cut_off_are_not_forgotten(
    lite: Server, opened: Gallery, ship: Ship, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened.add(some_rows(20))
    with failing(monkeypatch, "upsert"), ship(lite.uri, lambda _: True, batch=5) as shipper:
        shipper.run()
    opened.delete([1, 2, 3])
    opened.compact()
    ship.once(lite.uri)
    assert_same(opened, lite.uri, ship.name)


def test_a_collection_that_was_dropped_is_made_and_filled_again(lite: Server, opened: Gallery, ship: Ship) -> None:
    from pymilvus import MilvusClient

    opened.add(some_rows(30))
    ship.once(lite.uri)
    found = MilvusClient(lite.uri, dedicated=True)
    found.drop_collection(ship.name)
    found.close()
    assert ship.once(lite.uri).sent == 30
    assert_same(opened, lite.uri, ship.name)
    # The watermark of the old one keeps no tombstones.
    opened.delete([1])
    ship.once(lite.uri)
    assert opened.prune() == 1


def test_an_older_copy_of_the_gallery_is_noticed_and_the_collection_put_right(
    lite: Server, opened: Gallery, ship: Ship, tmp_path: Path
) -> None:
    opened.add(some_rows(30))
    ship.once(lite.uri)
    backup = tmp_path / "backup.db"
    opened.backup(backup)
    opened.delete([3, 4])
    opened.add(some_rows(15, seed=1))
    ship.once(lite.uri)
    with Gallery.open(backup, index="numpy") as restored:
        restored.add(some_rows(5, seed=2))
        shipped = ship.once(lite.uri, place=backup)
        assert "is ahead of the gallery" in ship.said[0]
        assert shipped.deleted == 10
        assert_same(restored, lite.uri, ship.name)


def test_check_puts_right_what_a_server_has_lost_or_kept(server: Server, opened: Gallery, ship: Ship) -> None:
    from pymilvus import MilvusClient

    opened.add(some_rows(50))
    opened.delete([50])
    ship.once(server.uri)
    device = device_of(opened)
    found = MilvusClient(server.uri, timeout=30, dedicated=True)
    found.delete(ship.name, ids=[record.key_of(device, i) for i in (1, 2, 3)])
    old = record.record_of(device, 50, 49, some_rows(50)[49])
    wrong = record.record_of(device, 7, 3, some_rows(50)[9])
    found.upsert(ship.name, [old, wrong, record.record_of("other", 1, 1, some_rows(1)[0])])
    found.close()
    shipped = ship.once(server.uri, check=True, batch=9)
    assert (shipped.sent, shipped.deleted) == (4, 1)
    assert "sent 4 rows that were missing or old, deleted 1" in ship.said[-1]
    assert_same(opened, server.uri, ship.name)
    with MilvusGallery.open(Address(server.uri, ship.name), device="other") as other:
        assert other.count == 1


def test_a_second_shipper_is_refused_while_the_first_runs(lite: Server, opened: Gallery, ship: Ship) -> None:
    opened.add(some_rows(3))

    def wait(_: float) -> bool:
        with pytest.raises(UserError, match="another edge sync ships it there already"):
            ship.once(lite.uri)
        return True

    with ship(lite.uri, wait) as shipper:
        assert shipper.run(follow=True).sent == 3
    ship.once(lite.uri)


def test_what_a_collection_cannot_hold_is_refused_before_anything_is_sent(
    lite: Server, opened: Gallery, ship: Ship, tmp_path: Path
) -> None:
    opened.add(some_rows(2))
    ship.once(lite.uri)
    other = tmp_path / "other.db"
    with Gallery.open(other, space_id="elsewhere", dim=DIM) as wrong:
        wrong.add(some_rows(2))
    with pytest.raises(UserError, match="holds embeddings of bundle space space; these are of elsewhere"):
        ship.once(lite.uri, place=other)
    opened.add([replace(some_rows(1)[0], person_id="x" * 2000)])
    with pytest.raises(UserError, match="row 3: its person id has 2000 bytes"):
        ship.once(lite.uri)
    opened.delete([3])
    assert ship.once(lite.uri).left == 0
    assert_same(opened, lite.uri, ship.name)
    from pymilvus import MilvusClient

    found = MilvusClient(lite.uri, dedicated=True)
    found.create_collection("someone_elses", dimension=DIM)
    found.close()
    with pytest.raises(UserError, match="is not a collection of a gallery"):
        ship.once(lite.uri, collection="someone_elses")


def test_embeddings_of_another_bundle_stop_a_shipper_that_runs(lite: Server, opened: Gallery, ship: Ship) -> None:
    opened.add([replace(row, crop=b"\xff\xd8") for row in some_rows(4)])

    def wait(_: float) -> bool:
        opened.reembed("new", 4, lambda crops, _: np.eye(4, dtype=np.float32)[: len(crops)])
        return False

    with ship(lite.uri, wait) as shipper, pytest.raises(UserError, match="holds embeddings of bundle space space"):
        shipper.run(follow=True)
    assert all(len(each["vector"]) == DIM for each in raw(lite.uri, ship.name))


def test_the_command_ships_says_and_forgets(lite: Server, opened: Gallery, ship: Ship, place: Path) -> None:
    opened.add(some_rows(9))
    words = [str(place), "--to", lite.uri, "--collection", ship.name, "--device", "cam-7"]
    done = CliRunner().invoke(sync_command, words, env={client.TOKEN_VARIABLE: "root:s3cret"}, catch_exceptions=False)
    assert done.output == f"shipped 9 rows and 0 deletions to {lite.uri} {ship.name} as cam-7; 0 changes are left\n"
    opened.delete([1])
    done = CliRunner().invoke(sync_command, [*words, "--json", "--check"], catch_exceptions=False)
    assert '"deleted": 1, "outages": 0, "watermark": 10, "left": 0' in done.stdout
    opened.delete([2])
    opened.compact()
    assert opened.prune() == 0
    done = CliRunner().invoke(sync_command, [*words, "--forget"], catch_exceptions=False)
    assert "1 watermarks" in done.output
    assert opened.prune() == 1


def test_a_service_that_is_told_to_stop_ends_well(lite: Server, opened: Gallery, ship: Ship, place: Path) -> None:
    opened.add(some_rows(9))
    words = [str(place), "--to", lite.uri, "--collection", ship.name, "--follow"]
    service = subprocess.Popen(
        [sys.executable, "-m", "edge_runtime", "sync", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    assert service.stderr is not None
    assert service.stderr.readline().startswith(f"following {place}, to {lite.uri}")
    service.terminate()
    said = service.communicate()[0]
    assert service.returncode == 0
    assert said.startswith("shipped 9 rows and 0 deletions")


def test_a_missing_package_is_named(opened: Gallery, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reid.extras.find_spec", lambda name: None)
    with pytest.raises(
        UserError, match=r"edge sync needs pymilvus; install it with: pip install 'reid-distill\[milvus\]'"
    ):
        CliRunner().invoke(sync_command, [str(place), "--to", "http://h"], catch_exceptions=False)
    assert opened.ids(Filter()) == []
