"""`teacher embed-text`: what a device is given for a sentence is what `teacher embed` makes of it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_runtime.text import FORMAT
from reid.artifact import read_manifest
from reid.dataset import Dataset
from reid.embeddings import EmbeddingStore
from reid.modality import Modality

TeacherOf = Callable[..., Path]
Refused = Callable[..., str]


def vectors(path: Path) -> dict[str, Any]:
    with np.load(path, allow_pickle=False) as arrays:
        return {name: arrays[name] for name in arrays.files}


def test_a_sentence_has_the_embedding_that_it_has_in_the_store(
    people: Dataset, teacher_of: TeacherOf, tmp_path: Path, reid: Any
) -> None:
    checkpoint = teacher_of()
    store = tmp_path / "store"
    done = reid(
        "teacher", "embed", people.root, "--teacher", checkpoint, "--device", "cpu", "--float32", "--out", store
    )
    assert done.code == 0, done.err
    opened = EmbeddingStore.open(store)
    rows = [i for i, sample in enumerate(people.samples) if sample.modality is Modality.TEXT][:3]
    texts = [str(people.samples[row].text) for row in rows]
    out = tmp_path / "q.npz"
    done = reid("teacher", "embed-text", *texts, "--teacher", checkpoint, "--device", "cpu", "--out", out)
    assert done.code == 0, done.err
    assert done.out == f"wrote {out}: 3 sentences, {opened.dim} dimensions\n"
    found = vectors(out)
    assert found["texts"].tolist() == texts
    assert (str(found["format"]), str(found["space_id"])) == (FORMAT, "")
    assert str(found["teacher"]) == read_manifest(checkpoint).sha256
    wanted = opened.embeddings()[rows]
    wanted = wanted / np.linalg.norm(wanted, axis=1, keepdims=True)
    np.testing.assert_allclose(found["embeddings"], wanted, atol=2e-5)


def test_a_file_of_sentences_is_read_and_each_is_embedded_once(
    teacher_of: TeacherOf, tmp_path: Path, reid: Any
) -> None:
    (tmp_path / "lines.txt").write_text("a man in a coat\n\n  a woman \na man in a coat\n")
    out = tmp_path / "q.npz"
    done = reid(
        "teacher", "embed-text", "a woman", "--file", tmp_path / "lines.txt", "--teacher", teacher_of(),
        "--device", "cpu", "--batch", 1, "--out", out,
    )  # fmt: skip
    assert done.code == 0, done.err
    assert vectors(out)["texts"].tolist() == ["a woman", "a man in a coat"]


def test_a_long_sentence_is_cut_and_that_is_said(teacher_of: TeacherOf, tmp_path: Path, reid: Any) -> None:
    out = tmp_path / "q.npz"
    words = ["teacher", "embed-text", "red " * 60, "--teacher", teacher_of(), "--device", "cpu", "--out", out]
    done = reid(*words)
    assert done.code == 0, done.err
    assert "note: 1 sentences are cut to 24 tokens" in done.err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "embed-text: there is no sentence"),
        ((" ",), "embed-text: a sentence is empty"),
        (("--file", "none.txt"), "none.txt: cannot be read (No such file or directory)"),
    ],
)
def test_what_cannot_be_embedded_is_refused_in_a_line(
    words: tuple[str, ...], message: str, teacher_of: TeacherOf, tmp_path: Path, refused: Refused
) -> None:
    said = refused("embed-text", *words, "--teacher", teacher_of(), "--device", "cpu", "--out", tmp_path / "q.npz")
    assert said.startswith(message)


def test_out_must_be_a_name_for_vectors(teacher_of: TeacherOf, tmp_path: Path, reid: Any) -> None:
    done = reid("teacher", "embed-text", "a man", "--teacher", teacher_of(), "--out", tmp_path / "q.json")
    assert done.code == 2
    assert "expected one that ends in .npz" in done.err


def test_the_help_comes_without_torch() -> None:
    script = (
        "import sys\nfrom teacher.cli.embed_text import embed_text\n"
        "embed_text.main(['--help'], standalone_mode=False)\nprint('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "False"
