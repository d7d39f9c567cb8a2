"""Writing a bundle: whole or not at all, and the same from the same."""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_bundles import DIM, key_pair, linear_graph, people, small_bundle, small_contents

from edge_runtime.bundle import open_bundle
from export.bundle.contents import Text
from export.bundle.write import nearest, write_bundle
from reid.artifact import read_manifest
from reid.errors import UserError
from reid.lineage import lineage


def test_equal_contents_give_equal_bytes_at_any_time_and_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = [small_bundle(tmp_path, name) for name in ("bundle", "a.tar.zst", "a.tar")]
    later, now = tmp_path / "later", time.time()
    later.mkdir()
    shutil.copytree(tmp_path / "student", later / "student")
    monkeypatch.setattr(time, "time", lambda: now + 1e7)
    second = [small_bundle(later, name) for name in ("bundle", "b.tar.zst", "b.tar")]
    assert read_manifest(first[0]).sha256 == read_manifest(second[0]).sha256
    assert [path.read_bytes() for path in first[1:]] == [path.read_bytes() for path in second[1:]]
    opened = open_bundle(first[1], work=tmp_path / "work")
    assert opened.manifest == read_manifest(first[0])


def test_a_bundle_knows_the_student_that_it_was_made_from(tmp_path: Path) -> None:
    bundle = small_bundle(tmp_path)
    parents = read_manifest(bundle).parents
    assert [(p.kind, p.manifest_sha256) for p in parents] == [("student", read_manifest(tmp_path / "student").sha256)]
    assert [(found.parent.kind, found.state) for found in lineage(bundle, read_manifest(bundle))] == [("student", "ok")]


def test_coreutils_verify_a_bundle_and_notice_a_change(tmp_path: Path) -> None:
    bundle = small_bundle(tmp_path, key=key_pair(tmp_path)[0])
    command = ["sha256sum", "--quiet", "-c", "SHA256SUMS"]
    assert subprocess.run(command, cwd=bundle, check=False).returncode == 0
    listed = {line.split("  ")[1] for line in (bundle / "SHA256SUMS").read_text().splitlines()}
    there = {path.relative_to(bundle).as_posix() for path in bundle.rglob("*") if path.is_file()}
    assert listed == there - {"SHA256SUMS"}
    (bundle / "model" / "student.fp32.onnx").write_bytes(b"other")
    assert subprocess.run(command, cwd=bundle, check=False, capture_output=True).returncode == 1


def test_manifest_and_reports_are_json_that_every_language_reads(tmp_path: Path) -> None:
    parity = {"fp32": {"cosine_min": float("nan"), "images": np.int64(3)}}
    bundle = small_bundle(tmp_path, parity=parity)
    for path in (bundle / "manifest.json", bundle / "reports" / "parity.json"):
        json.loads(path.read_text(), parse_constant=pytest.fail)
    assert read_manifest(bundle).details["parity"] == {"fp32": {"cosine_min": None, "images": 3}}


def test_what_answers_sentences_goes_in_and_is_found(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_text("tokenizer.json")
    text = Text(linear_graph(1), tmp_path / "tokenizer.json", 40)
    bundle = open_bundle(small_bundle(tmp_path, text=text))
    assert bundle.text is not None
    assert (bundle.file(bundle.text.tokenizer).read_text(), bundle.text.longest) == ("tokenizer.json", 40)
    assert bundle.graph("fp32", role="text").path == "text/text.fp32.onnx"
    assert bundle.precisions == ("fp32",)


def test_no_engine_is_ever_in_a_bundle(tmp_path: Path) -> None:
    names = read_manifest(small_bundle(tmp_path, targets=("host", "orin-nx", "thor", "rtx-ada"))).files
    assert not [name for name in names if Path(name).suffix in (".engine", ".plan", ".trt", ".cache")]


@pytest.mark.parametrize("name", ["bundle", "b.tar.zst"])
def test_an_error_half_way_leaves_nothing(tmp_path: Path, name: str) -> None:
    contents = small_contents(tmp_path)
    before = sorted(tmp_path.iterdir())
    for broken, words in (
        (replace(contents, subspace=tmp_path / "none.safetensors"), r"none\.safetensors: no such file"),
        (replace(contents, targets=("orin-nono",)), "there is no target 'orin-nono'; did you mean .*orin-nano"),
        (replace(contents, parent=tmp_path / "gone"), r"gone: has no manifest\.json"),
    ):
        with pytest.raises(UserError, match=words):
            write_bundle(tmp_path / name, broken)
        assert sorted(tmp_path.iterdir()) == before
    with pytest.raises(UserError, match="cannot be read"):
        write_bundle(tmp_path / name, contents, key=tmp_path / "none.pem")
    (tmp_path / "public.pem").write_bytes(key_pair(tmp_path)[1].read_bytes())
    with pytest.raises(UserError, match="not a private key in PEM form"):
        write_bundle(tmp_path / name, contents, key=tmp_path / "public.pem")
    assert not (tmp_path / name).exists()


def test_what_is_there_is_never_overwritten(tmp_path: Path) -> None:
    for name in ("bundle", "b.tar.zst"):
        made = small_bundle(tmp_path, name)
        when = made.stat().st_mtime_ns
        with pytest.raises(UserError, match="already exists"):
            small_bundle(tmp_path, name)
        assert made.stat().st_mtime_ns == when
    with pytest.raises(
        UserError, match=r"a bundle is no \.zip; take a folder, or a name that ends in \.tar\.zst or \.tar"
    ):
        write_bundle(tmp_path / "x.zip", small_contents(tmp_path), archive=True)


_CHILD = """
import os, sys
from pathlib import Path
from unittest.mock import patch
from export.bundle.write import write_bundle
from small_bundles import small_contents
"""
_ROOT = Path(__file__).parents[3]
_ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}


@pytest.mark.parametrize("name", ["bundle", "b.tar.zst"])
def test_a_killed_writer_leaves_no_bundle_and_the_next_one_clears_up(tmp_path: Path, name: str) -> None:
    script = _CHILD + (
        "contents = small_contents(Path(sys.argv[1]), metadata=False)\n"
        "with patch('os.sync', lambda: os._exit(9)): write_bundle(Path(sys.argv[1]) / sys.argv[2], contents)"
    )
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path), name], check=False, env=_ENVIRONMENT, cwd=_ROOT)
    assert done.returncode == 9
    assert (tmp_path / f"{name}.partial" / "model").is_dir()
    assert not (tmp_path / name).exists()
    assert open_bundle(small_bundle(tmp_path, name), work=tmp_path / "work").dim == DIM
    assert not (tmp_path / f"{name}.partial").exists()


@pytest.mark.parametrize(("name", "limit"), [("bundle", 20_000), ("b.tar.zst", 20_000), ("b.tar.zst", 60_000)])
def test_a_full_disk_is_one_line_and_nothing_stays(tmp_path: Path, name: str, limit: int) -> None:
    """No file may grow beyond the limit: the graph does not fit, or the archive alone does not."""
    contents = small_contents(tmp_path)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    try:
        with pytest.raises(UserError, match=rf"{name}: cannot be .*\(File too large\)") as error:
            write_bundle(tmp_path / name, contents)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert "\n" not in str(error.value)
    assert [path.name for path in tmp_path.iterdir()] == ["student"]


@settings(deadline=None)
@given(st.integers(2, 14), st.integers(1, 12), st.integers(0, 2**32 - 1))
def test_neighbours_are_those_of_a_search_by_hand(rows: int, count: int, seed: int) -> None:
    reference = np.random.default_rng(seed).normal(size=(rows, 5)).astype(np.float32)
    found = nearest(reference, count)
    assert found.shape == (rows, min(count, rows - 1))
    for row in range(rows):

        def cosine(other: int, row: int = row) -> float:
            a, b = reference[row].astype(float), reference[other].astype(float)
            return float(a @ b / np.sqrt((a @ a) * (b @ b)))

        by_hand = sorted((other for other in range(rows) if other != row), key=cosine, reverse=True)
        expected = [cosine(other) for other in by_hand[: found.shape[1]]]
        assert row not in found[row]
        np.testing.assert_allclose([cosine(other) for other in found[row]], expected, atol=2e-6)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"graphs": {}}, "at least one image graph"),
        ({"reference": np.zeros((9, DIM + 1), np.float32)}, "reference is float32"),
        ({"reference": np.zeros((9, DIM))}, "reference is float64"),
    ],
)
def test_contents_that_do_not_belong_together_are_refused(tmp_path: Path, changes: dict[str, Any], words: str) -> None:
    assert len(people()) == 9
    with pytest.raises(ValueError, match=words):
        small_contents(tmp_path, **changes)
