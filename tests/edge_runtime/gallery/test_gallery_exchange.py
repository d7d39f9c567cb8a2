"""Export and import, and the log of changes."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edge_runtime.gallery import Gallery, Row
from reid.errors import UserError

Opened = Callable[..., Gallery]
Rows = Callable[..., list[Row]]
FORMS = ["arrow", "json"]


def write(gallery: Gallery, form: str, file: Path) -> int:
    return gallery.export_arrow(file) if form == "arrow" else gallery.export_json(file)


def read(gallery: Gallery, form: str, file: Path) -> list[int]:
    return gallery.import_arrow(file) if form == "arrow" else gallery.import_json(file)


@pytest.mark.parametrize("form", FORMS)
def test_what_is_exported_is_imported_bit_for_bit(opened: Opened, some_rows: Rows, tmp_path: Path, form: str) -> None:
    rows = some_rows(1500, crops=True)
    rows[3] = replace(rows[3], person_id="Zoë, 张", crop=None, time=1e9 + 1 / 3)
    file = tmp_path / "rows"
    with opened() as gallery:
        gallery.add(rows)
        gallery.delete([2])
        assert write(gallery, form, file) == 1499
        theirs = gallery.rows(gallery.ids())
    with Gallery.open(tmp_path / "other.db", space_id="space", dim=8) as other:
        ids = read(other, form, file)
        for found, given in zip(other.rows(ids), theirs, strict=True):
            assert np.array_equal(found.embedding, given.embedding)
            plain = {"row_id": 0, "embedding": given.embedding}
            assert replace(found, **plain) == replace(given, **plain)
        assert other.verify() == []


@pytest.mark.parametrize("form", FORMS)
def test_another_bundles_rows_and_other_files_are_refused(
    opened: Opened, some_rows: Rows, tmp_path: Path, form: str
) -> None:
    file = tmp_path / "rows"
    with Gallery.open(tmp_path / "other.db", space_id="other", dim=8) as other:
        other.add(some_rows(3))
        write(other, form, file)
    with opened() as gallery:
        with pytest.raises(UserError, match="bundle space other, width 8; the gallery holds space, 8"):
            read(gallery, form, file)
        for content in (b"", b"{}\n", b"hello\n", b"\xff\xfe\x00" * 50, file.read_bytes()[:200]):
            file.write_bytes(content)
            with pytest.raises(UserError, match="rows"):
                read(gallery, form, file)
        with pytest.raises(UserError, match="cannot be read"):
            read(gallery, form, tmp_path / "absent")
        assert gallery.count == 0


def test_a_broken_line_is_named_and_nothing_is_imported(opened: Opened, some_rows: Rows, tmp_path: Path) -> None:
    file = tmp_path / "rows"
    with opened() as gallery:
        gallery.add(some_rows(1100))
        gallery.export_json(file)
        lines = file.read_text().splitlines()
        broken = {**json.loads(lines[1050]), "embedding": "??"}
        lines[1050] = json.dumps(broken)
        file.write_text("\n".join(lines))
        with pytest.raises(UserError, match="rows, line 1051: not a row of a gallery"):
            gallery.import_json(file)
        assert gallery.count == 1100


def test_without_pyarrow_the_extra_is_named(opened: Opened, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reid.extras.find_spec", lambda name: None)
    with opened() as gallery, pytest.raises(UserError, match=r"needs pyarrow; install it with"):
        gallery.export_arrow(tmp_path / "x")


def test_changes_are_each_rows_newest_in_order(opened: Opened, some_rows: Rows) -> None:
    with opened() as gallery:
        ids = gallery.add(some_rows(4))
        assert [(c.row_id, c.kind) for c in gallery.changes_since(0)] == [(i, "insert") for i in ids]
        assert gallery.changes_since(0, 2)[1].seq == 2
        seen = gallery.last_change
        assert gallery.changes_since(seen) == []
        gallery.assign([ids[1]], "eve")
        gallery.delete([ids[0]])
        more = gallery.add(some_rows(2))
        gallery.assign([more[0]], "eve")
        gallery.delete([more[1]])
        changes = gallery.changes_since(seen)
        assert [(c.row_id, c.kind) for c in changes] == [
            (ids[1], "update"),
            (ids[0], "delete"),
            (more[0], "insert"),  # the reader has not seen it before, so it is no update
            (more[1], "delete"),
        ]
        assert changes[0].row is not None
        assert changes[0].row.person_id == "eve"
        assert [c.seq for c in changes] == sorted(c.seq for c in changes)


def test_tombstones_stay_until_every_watermark_has_passed(opened: Opened, some_rows: Rows) -> None:
    with opened() as gallery:
        ids = gallery.add(some_rows(6))
        gallery.set_watermark("cloud", 6)
        gallery.set_watermark("store", 0)
        gallery.delete(ids[:2])
        gallery.delete(ids[2:3])
        assert gallery.prune() == 0
        gallery.set_watermark("store", gallery.last_change)
        gallery.set_watermark("cloud", 7)
        assert gallery.prune() == 1
        assert [c.row_id for c in gallery.changes_since(7)] == [ids[1], ids[2]]
        with pytest.raises(UserError, match="no longer reaches back to 6"):
            gallery.changes_since(6)
        # An empty copy lacks no deletion.
        assert [c.kind for c in gallery.changes_since(0)].count("insert") == 3
        gallery.drop_watermark("cloud")
        assert gallery.prune() == 2
    with opened() as gallery:
        assert (gallery.watermark("store"), gallery.watermark("cloud")) == (9, 0)
