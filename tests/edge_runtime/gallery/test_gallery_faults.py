"""What may happen to a store: killed, cut, flipped, full, read-only, written by two."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edge_runtime.gallery import Gallery, Row
from reid.errors import UserError

CHILD = Path(__file__).with_name("gallery_child.py")
ROOT = Path(__file__).parents[3]
Opened = Callable[..., Gallery]
Rows = Callable[..., list[Row]]


def start(*words: object) -> subprocess.Popen[str]:
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    return subprocess.Popen(
        [sys.executable, str(CHILD), *map(str, words)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
    )


@pytest.mark.parametrize("what", ["enrol", "delete", "compact"])
def test_a_killed_process_loses_nothing_that_was_acknowledged(place: Path, what: str) -> None:
    added: dict[int, int] = {}
    deleted: set[int] = set()
    unsure: set[int] = set()
    chance = random.Random(3)
    for round_ in range(3):
        child = start(place, what, round_)
        assert child.stdout is not None
        for _ in range(chance.randrange(5, 40)):
            said = json.loads(child.stdout.readline())
            added.update({int(i): n for i, n in said.get("added", {}).items()})
            unsure = set(said.get("doomed", ()))
            deleted.update(said.get("deleted", ()))
        child.kill()
        for line in child.communicate()[0].splitlines(keepends=True):
            if line.endswith("\n"):
                said = json.loads(line)
                added.update({int(i): n for i, n in said.get("added", {}).items()})
                unsure = set(said.get("doomed", ()))
                deleted.update(said.get("deleted", ()))
        assert child.returncode == -signal.SIGKILL
        with Gallery.open(place, space_id="space", dim=8) as gallery:
            assert gallery.verify() == []
            there = set(gallery.ids())
            assert set(added) - deleted - unsure <= there
            assert not deleted & there
            assert len(unsure & there) in (0, len(unsure - deleted))  # a deletion happens whole or not
            for row in gallery.rows(sorted(there & set(added))):
                assert row.metadata["n"] == added[row.row_id or 0]
            added.update({row.row_id or 0: row.metadata["n"] for row in gallery.rows(sorted(there))})
            deleted |= unsure - there


def test_two_processes_write_and_a_third_sees_it_all(opened: Opened, place: Path) -> None:
    with opened() as watcher:
        children = [start(place, what, seed) for seed, what in enumerate(["enrol", "delete"])]
        seen = 0
        for child in children:
            assert child.stdout is not None
            assert json.loads(child.stdout.readline()) == {"ready": True}
        for _ in range(30):
            for child in children:
                assert child.stdout is not None
                said = json.loads(child.stdout.readline())
                ids = [int(i) for i in said.get("added", {})]
                # What one process acknowledges, another finds at once, unless a third has deleted it since.
                hits = watcher.search(np.eye(8, dtype=np.float32)[:1], 10**6)[0]
                found = {hit.row_id for hit in hits}
                seen += sum(i in found for i in ids)
                assert not set(said.get("deleted", ())) & found
        for child in children:
            child.kill()
            child.communicate()
        assert seen > 20
        assert {hit.row_id for hit in watcher.search(np.eye(8, dtype=np.float32)[:1], 10**6)[0]} == set(watcher.ids())
        assert watcher.verify() == []


def test_who_waits_too_long_for_another_writer_is_told(opened: Opened, some_rows: Rows, place: Path) -> None:
    with opened(busy_seconds=0.01) as gallery:
        gallery.add(some_rows(2))
        other = sqlite3.connect(place, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(UserError, match="another process has been writing it for too long"):
            gallery.add(some_rows(1))
        assert len(gallery.search(some_rows(1)[0].embedding[None], 9)[0]) == 2  # readers do not wait
        other.execute("ROLLBACK")
        other.close()
        assert gallery.add(some_rows(1)) == [3]


def crash(gallery: Gallery, to: Path) -> Path:
    """A copy of the files as they lie, as after a power cut."""
    to.mkdir()
    for file in gallery.path.parent.glob("gallery.db*"):
        if not file.name.endswith("-shm"):
            shutil.copy(file, to)
    return to / gallery.path.name


@pytest.mark.parametrize("share", [0.0, 0.1, 0.35, 0.6, 0.83, 0.99])
def test_a_truncated_log_leaves_the_first_commits_whole(
    opened: Opened, some_rows: Rows, tmp_path: Path, share: float
) -> None:
    with opened() as gallery:
        for row in some_rows(30):
            gallery.add([row, row])
        copy = crash(gallery, tmp_path / "copy")
    log = copy.with_name(copy.name + "-wal")
    os.truncate(log, int(log.stat().st_size * share))
    with Gallery.open(copy, space_id="space", dim=8) as found:
        assert found.verify() == []
        ids = found.ids()
        assert ids == list(range(1, len(ids) + 1))
        assert len(ids) % 2 == 0
        assert len(ids) <= 60 * share + 2
        assert found.add(some_rows(2)) == [len(ids) + 1, len(ids) + 2]


def test_flipped_bytes_are_found_and_the_rows_named(opened: Opened, some_rows: Rows, place: Path) -> None:
    rows = some_rows(60, crops=True)
    with opened() as gallery:
        gallery.add(rows)
        gallery.compact()
    content = bytearray(place.read_bytes())
    at = content.find(rows[41].embedding.tobytes())
    assert at > 0
    content[at + 5] ^= 0x10
    at = content.find(rows[17].crop or b"")
    content[at + 9] ^= 0x10
    at = content.find(b'{"place":23}')
    content[at + 10 : at + 11] = b"9"
    place.write_bytes(content)
    with opened() as gallery:
        problems = gallery.verify()
        assert sorted(problem.split(":")[0] for problem in problems) == ["row 18", "row 24", "row 42"]
        # The row without its vector is left out of the search, which says so; the others are found.
        hits = gallery.search(rows[0].embedding[None], 100)[0]
        assert len(hits) == 59
        assert 42 not in {hit.row_id for hit in hits}
        assert "1 damaged rows are left out of the search: 42" in gallery.notes[0]
        with pytest.raises(UserError, match="row 42 is damaged"):
            gallery.rows([42])
        gallery.delete([42, 18, 24])
        assert gallery.verify() == []
        assert gallery.search(rows[0].embedding[None], 1)
        assert gallery.notes == []


@pytest.mark.parametrize("table", ["row", "vector"])
def test_rows_of_a_page_that_cannot_be_read_are_named(opened: Opened, some_rows: Rows, place: Path, table: str) -> None:
    rows = [replace(row, metadata={"place": i, "long": "x" * 200}) for i, row in enumerate(some_rows(80))]
    marks = [row.embedding.tobytes() if table == "vector" else b'{"place":%d,' % i for i, row in enumerate(rows)]
    with opened() as gallery:
        gallery.add(rows)
        gallery.compact()
        size = gallery._database.one("PRAGMA page_size")[0]
    content = bytearray(place.read_bytes())
    page = content.find(marks[23]) // size * size
    inside = {i for i, mark in enumerate(marks, 1) if page <= content.find(mark) < page + size}
    content[page : page + 8] = b"\xff" * 8
    place.write_bytes(content)
    with opened() as gallery:
        problems = gallery.verify()
        named = {int(p.split(":")[0][4:]) for p in problems if p.startswith("row ") and p.endswith("cannot be read")}
        assert 24 in inside
        assert named == inside
        with pytest.raises(UserError, match="the file is damaged"):
            gallery.search(rows[0].embedding[None], 1)


def test_any_flipped_byte_gives_right_answers_or_one_line(opened: Opened, some_rows: Rows, place: Path) -> None:
    """Bytes anywhere: the header, the schema, b-trees, free space."""
    rows = some_rows(40)
    with opened() as gallery:
        gallery.add(rows)
        gallery.compact()
    sound = place.read_bytes()
    chance = random.Random(0)
    noticed, lines = 0, []
    for _ in range(60):
        content = bytearray(sound)
        at = chance.choice([chance.randrange(len(sound)), chance.randrange(200), 4096 + chance.randrange(200)])
        content[at] ^= 1 << chance.randrange(8)
        place.write_bytes(content)
        try:
            with opened() as gallery:
                problems = gallery.verify()
                if not problems:
                    assert len(gallery.rows(gallery.ids())) == 40
                    assert gallery.search(rows[9].embedding[None], 1)[0][0].row_id == 10
                noticed += bool(problems)
        except UserError as error:
            lines.append(str(error))
        for file in place.parent.glob("gallery.db-*"):
            file.unlink()
    assert not any("\n" in line for line in lines)
    assert noticed
    assert lines


def test_a_full_disk_is_said_and_nothing_is_lost(place: Path, tmp_path: Path) -> None:
    """Really: the child may not write files beyond a size."""
    script = f"""
import resource, sys
from pathlib import Path
sys.path[:0] = [{str(CHILD.parent)!r}, {str(ROOT)!r}]
from gallery_child import DIM, vector_of
from edge_runtime.gallery import Gallery, Row
from reid.errors import UserError
gallery = Gallery.open(Path({str(place)!r}), space_id="space", dim=DIM)
resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, resource.RLIM_INFINITY))
kept = 0
try:
    while True:
        kept = gallery.add([Row(vector_of(n), crop=b"\\xff\\xd8" + bytes(4000)) for n in range(3)])[-1]
except UserError as error:
    print(kept, error)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
assert gallery.count == kept
assert gallery.add([Row(vector_of(1))]) == [kept + 1]
gallery.close()
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    kept, said = done.stdout.split(" ", 1)
    assert int(kept) > 3
    assert said.startswith(str(place))
    assert "nothing was written" in said
    with Gallery.open(place) as gallery:
        assert gallery.verify() == []
        assert gallery.count == int(kept) + 1


def test_a_full_database_is_said(opened: Opened, some_rows: Rows) -> None:
    with opened() as gallery:
        gallery.add(some_rows(3))
        pages = gallery._database.one("PRAGMA page_count")[0]
        gallery._database.one(f"PRAGMA max_page_count = {pages + 1}")
        with pytest.raises(UserError, match="full and nothing was written"):
            gallery.add(some_rows(500))
        assert gallery.count == 3
        assert gallery.verify() == []


def test_a_backup_that_does_not_fit_leaves_nothing(opened: Opened, some_rows: Rows, tmp_path: Path) -> None:
    with opened() as gallery:
        gallery.add(some_rows(5))
        with pytest.raises(UserError, match="was not written"):
            gallery.backup(tmp_path / "nowhere" / "b.db")
        with pytest.raises(UserError, match="is the gallery itself"):
            gallery.backup(gallery.path)
        gallery.backup(tmp_path / "b.db")
        gallery.add(some_rows(1))
        gallery.backup(tmp_path / "b.db")
    assert not list(tmp_path.glob("*.partial"))
    with Gallery.open(tmp_path / "b.db", space_id="space", dim=8) as copy:
        assert copy.count == 6
        assert copy.verify() == []


def test_a_read_only_disk_can_be_searched_and_says_that_it_cannot_be_written(tmp_path: Path) -> None:
    """A file system of its own in memory, turned read-only; needs the right to mount one."""
    disk = tmp_path / "disk"
    disk.mkdir()
    script = f"""
import subprocess, sys
from pathlib import Path
sys.path[:0] = [{str(CHILD.parent)!r}, {str(ROOT)!r}]
from gallery_child import DIM, vector_of
from edge_runtime.gallery import Gallery, Row
from reid.errors import UserError
if subprocess.run(["mount", "-t", "tmpfs", "none", {str(disk)!r}], capture_output=True).returncode:
    sys.exit(77)
place = Path({str(disk / "g.db")!r})
with Gallery.open(place, space_id="space", dim=DIM) as gallery:
    gallery.add([Row(vector_of(n)) for n in range(5)])
subprocess.run(["mount", "-o", "remount,ro", {str(disk)!r}], check=True)
with Gallery.open(place, read_only=True) as gallery:
    assert gallery.search(vector_of(3)[None], 1)[0][0].row_id == 4
    assert gallery.verify() == []
try:
    Gallery.open(place, space_id="space", dim=DIM).add([Row(vector_of(9))])
except UserError as error:
    print(error)
"""
    command = ["unshare", "--mount", sys.executable, "-c", script]
    if not shutil.which("unshare") or subprocess.run([*command[:2], "true"], capture_output=True).returncode:
        pytest.skip("may not mount a file system here")
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode == 77:
        pytest.skip("may not mount a file system here")
    assert done.returncode == 0, done.stderr
    assert "read-only" in done.stdout
