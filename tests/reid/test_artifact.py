"""Artifact folders: whole or not at all, and able to say what has changed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reid.artifact import (
    MANIFEST,
    ArtifactWriter,
    FileEntry,
    Manifest,
    Parent,
    check_files,
    expect_kind,
    newest,
    read_manifest,
    write_text,
)
from reid.errors import UserError
from reid.lineage import lineage


def make(out: Path, content: str = "hello", kind: str = "thing", parents: tuple[Path, ...] = ()) -> Path:
    with ArtifactWriter(out, kind, {"command": "test", "seed": 1}, parents) as artifact:
        (artifact.path / "sub").mkdir()
        (artifact.path / "sub" / "a.txt").write_text(content)
        artifact.details["n"] = 3
    return out


def test_a_finished_artifact_lists_and_hashes_its_files(tmp_path: Path) -> None:
    import hashlib

    manifest = read_manifest(make(tmp_path / "out"))
    assert manifest.files == {"sub/a.txt": FileEntry(hashlib.sha256(b"hello").hexdigest(), 5)}
    assert manifest.details == {"n": 3}
    assert manifest.writer["seed"] == 1
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out"]
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [MANIFEST, "sub"]


def test_equal_content_gives_an_equal_manifest(tmp_path: Path) -> None:
    one, two, other = make(tmp_path / "a"), make(tmp_path / "b"), make(tmp_path / "c", "other")
    assert read_manifest(one).sha256 == read_manifest(two).sha256 != read_manifest(other).sha256


def test_an_error_leaves_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), ArtifactWriter(tmp_path / "out", "thing", {}) as artifact:
        (artifact.path / "half").write_text("x")
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


def test_an_existing_folder_is_never_overwritten(tmp_path: Path) -> None:
    make(tmp_path / "out")
    with pytest.raises(UserError, match="already exists"):
        ArtifactWriter(tmp_path / "out", "thing", {})
    assert (tmp_path / "out" / "sub" / "a.txt").read_text() == "hello"


def test_what_a_killed_writer_left_is_cleared_or_kept(tmp_path: Path) -> None:
    script = (
        "import os, signal, sys; from pathlib import Path; from reid.artifact import ArtifactWriter\n"
        "with ArtifactWriter(Path(sys.argv[1]), 'thing', {}) as a:\n"
        "    (a.path / 'half').write_text('x'); os.kill(os.getpid(), signal.SIGKILL)"
    )
    out = tmp_path / "out"
    done = subprocess.run([sys.executable, "-c", script, str(out)], check=False)
    assert done.returncode == -9
    assert not out.exists()
    with ArtifactWriter(out, "thing", {}, resumable=True) as artifact:
        assert (artifact.path / "half").read_text() == "x"
        assert artifact.path.is_dir()
    assert list(read_manifest(out).files) == ["half"]
    subprocess.run([sys.executable, "-c", script, str(tmp_path / "again")], check=False)
    with ArtifactWriter(tmp_path / "again", "thing", {}):
        pass
    assert read_manifest(tmp_path / "again").files == {}


@pytest.mark.parametrize("where", ["reid.artifact.sha256_of", "reid.artifact.os.sync"])
def test_a_writer_that_dies_while_finishing_is_taken_up(tmp_path: Path, where: str) -> None:
    script = (
        "import os, sys; from pathlib import Path; from unittest.mock import patch\n"
        "from reid.artifact import ArtifactWriter\n"
        "a = ArtifactWriter(Path(sys.argv[1]), 'thing', {'seed': 1}, resumable=True)\n"
        f"with patch({where!r}, lambda *a: os._exit(9)), a:\n"
        "    (a.path / 'content').write_text('x'); (a.path / 'plan').write_text('y'); a.scratch.add('plan')\n"
    )
    out = tmp_path / "out"
    assert subprocess.run([sys.executable, "-c", script, str(out)], check=False).returncode == 9
    assert (tmp_path / "out.partial" / "plan").read_text() == "y"
    with ArtifactWriter(out, "thing", {"longer": "than before" * 9}, resumable=True) as artifact:
        artifact.scratch.add("plan")
    manifest = expect_kind(out, "thing")
    assert list(manifest.files) == ["content"]
    assert sorted(p.name for p in out.iterdir()) == ["content", MANIFEST]


def test_a_folder_is_locked_until_it_is_in_its_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refused = []

    def meanwhile() -> None:
        try:
            with ArtifactWriter(tmp_path / "out", "thing", {}):
                pass
        except UserError as error:
            refused.append(str(error))

    monkeypatch.setattr("reid.artifact.os.sync", meanwhile)
    make(tmp_path / "out")
    assert "another process is writing it" in refused[0]
    assert (tmp_path / "out" / "sub" / "a.txt").read_text() == "hello"


def test_two_writers_of_one_folder_are_refused(tmp_path: Path) -> None:
    with (
        ArtifactWriter(tmp_path / "out", "thing", {}),
        pytest.raises(UserError, match="another process"),
        ArtifactWriter(tmp_path / "out", "thing", {}),
    ):
        pass
    assert (tmp_path / "out" / MANIFEST).is_file()


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        (lambda file: file.unlink(), "is missing"),
        (lambda file: file.write_text("hell"), "has 4 bytes; expected 5"),
        (lambda file: file.write_text("hullo"), "has changed"),
    ],
)
def test_damage_is_found(tmp_path: Path, damage, problem: str) -> None:
    out = make(tmp_path / "out")
    assert check_files(out, read_manifest(out)) == []
    damage(out / "sub" / "a.txt")
    (found,) = check_files(out, read_manifest(out))
    assert found.startswith("sub/a.txt")
    assert problem in found


def test_the_wrong_kind_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="kind 'thing'; expected 'other'"):
        expect_kind(make(tmp_path / "out"), "other")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda raw: raw | {"colour": 1}, "unknown key 'colour'"),
        (lambda raw: raw | {"format_version": 99}, "format version 99"),
        (lambda raw: {k: v for k, v in raw.items() if k != "files"}, "not a manifest"),
        (lambda raw: [], "not a manifest"),
    ],
)
def test_a_manifest_that_is_not_one_is_refused_by_name(tmp_path: Path, change, message: str) -> None:
    path = make(tmp_path / "out") / MANIFEST
    path.write_text(json.dumps(change(json.loads(path.read_text()))))
    with pytest.raises(UserError, match=message) as error:
        read_manifest(tmp_path / "out")
    assert str(path) in str(error.value)


def test_an_unfinished_artifact_says_so(tmp_path: Path) -> None:
    (tmp_path / "out.partial").mkdir()
    with pytest.raises(UserError, match="not finished"):
        read_manifest(tmp_path / "out")


def test_lineage_finds_parents_and_tells_when_they_changed(tmp_path: Path) -> None:
    data = make(tmp_path / "data")
    store = make(tmp_path / "store", "s", "embeddings", (data,))
    student = make(tmp_path / "student", "t", "student", (store,))
    found = list(lineage(student, read_manifest(student)))
    assert [(a.depth, a.parent.kind, a.state) for a in found] == [(1, "embeddings", "ok"), (2, "thing", "ok")]
    (tmp_path / "data").rename(tmp_path / "moved")
    make(tmp_path / "data", "something else")
    assert [a.state for a in lineage(student, read_manifest(student))] == ["ok", "changed"]


def test_lineage_moves_with_the_folder_that_holds_it(tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()
    child = make(tmp_path / "runs" / "child", parents=(make(tmp_path / "runs" / "parent"),))
    (tmp_path / "runs").rename(tmp_path / "elsewhere")
    child = tmp_path / "elsewhere" / "child"
    assert [a.state for a in lineage(child, read_manifest(child))] == ["ok"]


def test_newest_takes_the_last_finished_one_of_the_kind(tmp_path: Path) -> None:
    for age, name in ((300, "a"), (100, "b"), (200, "c")):
        path = make(tmp_path / "runs" / "things" / name)
        os.utime(path / MANIFEST, (10**9 - age, 10**9 - age))
    make(tmp_path / "runs" / "others" / "d", kind="other")
    assert newest("thing", tmp_path / "runs").name == "b"
    (tmp_path / "runs" / "web").mkdir()
    (tmp_path / "runs" / "web" / MANIFEST).write_text('{"name": "app"}')
    make(tmp_path / "runs" / "things" / "e.partial")
    assert newest("thing", tmp_path / "runs").name == "b"
    with pytest.raises(UserError, match="no finished artifact of kind 'student'"):
        newest("student", tmp_path / "runs")


def test_text_is_replaced_whole(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("old")
    write_text(tmp_path / "a.json", "new")
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]
    assert (tmp_path / "a.json").read_text() == "new"


names = st.text(st.characters(codec="utf-8"), max_size=20)


@given(
    names,
    st.dictionaries(names, st.one_of(names, st.integers(), st.none())),
    st.dictionaries(names, st.builds(FileEntry, names, st.integers(0, 2**50))),
    st.lists(st.builds(Parent, names, names, names)),
)
def test_manifests_survive_the_file(kind, details, files, parents) -> None:
    import tempfile

    manifest = Manifest(kind, {"seed": 1}, files, tuple(parents), details)
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / MANIFEST).write_text(manifest.to_json(), encoding="utf-8")
        read = read_manifest(Path(folder))
    assert read == manifest
    assert read.sha256 == manifest.sha256
