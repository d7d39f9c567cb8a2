"""Sentences on the device: as the text student answers them in torch, or as the cloud has embedded them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from small_bundles import DIM, small_bundle, subspace
from small_export import small_tokenizer, text_source
from tokenizers import AddedToken

from edge_runtime.bundle import Bundle, open_bundle
from edge_runtime.text import FORMAT, TextQueries, TextStudentQueries, TextVectors, padded, write_vectors
from export.bundle.contents import Text
from export.graph.text import text_graph
from reid.errors import UserError
from reid.modality import Modality
from reid.sample import Sample, Split
from reid.subspace import Subspace
from student.sentences import SentenceReader

WORDS = (
    "a",
    "man",
    "woman",
    "in",
    "with",
    "red",
    "blue",
    "coat",
    "hat",
    "bag",
    ".",
    "the",
    "one",
    "zebra",
    "[UNK]",
    "<s>",
)
sentences = st.lists(st.sampled_from(WORDS), max_size=20).map(" ".join)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return text_source(tmp_path_factory.mktemp("text") / "student")


@pytest.fixture(scope="module")
def tokenizer_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One with a special token in the middle of its words, which a caption must not be able to spell."""
    path = tmp_path_factory.mktemp("tokenizer") / "tokenizer.json"
    made = small_tokenizer()
    made.add_special_tokens({"additional_special_tokens": [AddedToken("<s>", special=True)]})
    made.backend_tokenizer.enable_truncation(3)
    made.backend_tokenizer.enable_padding(length=9)
    made.backend_tokenizer.save(str(path))
    return path


@pytest.fixture(scope="module")
def bundle(source: Any, tokenizer_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    text = Text(text_graph(source), tokenizer_file, 12)
    folder = small_bundle(tmp_path_factory.mktemp("bundles"), metadata=False, text=text)
    return open_bundle(folder)


@pytest.fixture(scope="module")
def queries(bundle: Bundle) -> TextQueries:
    return TextQueries.load(bundle, threads=1)


def by_torch(source: Any, reader: SentenceReader, texts: list[str]) -> NDArray[np.float32]:
    samples = [Sample(str(n), "1", Modality.TEXT, Split.TEST, text=text) for n, text in enumerate(texts)]
    with torch.inference_mode():
        rows = source.text(**reader.pad([reader.tokens(sample) for sample in samples])).numpy()
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True))


@pytest.fixture(scope="module")
def reader(tokenizer_file: Path) -> SentenceReader:
    from transformers import PreTrainedTokenizerFast

    return SentenceReader(PreTrainedTokenizerFast(tokenizer_file=str(tokenizer_file), unk_token="[UNK]"), 12)


@settings(max_examples=25, deadline=None)
@given(st.lists(sentences, min_size=1, max_size=5))
def test_a_sentence_is_answered_as_in_torch(
    queries: TextQueries, source: Any, reader: SentenceReader, texts: list[str]
) -> None:
    """Long ones are cut at 12 tokens, empty ones have an answer, special tokens that are spelled out are plain text."""
    found = queries.embed(texts)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, by_torch(source, reader, texts), atol=3e-5)


@settings(max_examples=50, deadline=None)
@given(st.one_of(sentences, st.text(max_size=30)))
def test_the_tokens_are_those_of_training(queries: TextQueries, reader: SentenceReader, text: str) -> None:
    assert isinstance(queries, TextStudentQueries)
    assert queries.tokens(text) == reader.tokens(Sample("1", "1", Modality.TEXT, Split.TEST, text=text))


def test_a_special_token_in_a_sentence_is_no_special_token(queries: TextQueries) -> None:
    assert isinstance(queries, TextStudentQueries)
    special = small_tokenizer().vocab_size  # the id that it would have
    assert special not in queries.tokens("a <s> man")
    assert len(queries.tokens("a man in a red coat with a blue hat . the one with the bag")) == 12


def test_sentences_of_unequal_length_are_padded_on_the_right() -> None:
    found = padded([[5, 6, 7], [], [9]])
    assert found["input_ids"].tolist() == [[5, 6, 7], [0, 0, 0], [9, 0, 0]]
    assert found["attention_mask"].tolist() == [[1, 1, 1], [0, 0, 0], [1, 0, 0]]
    assert padded([[]])["input_ids"].shape == (1, 1)


def test_many_sentences_are_answered_each_by_itself(queries: TextQueries) -> None:
    texts = [f"{a} {b} in the {c} coat" for a in WORDS[:5] for b in WORDS[:3] for c in WORDS[5:8]]
    assert len(texts) > 32
    found = queries.embed(texts)
    for row in (0, 31, 32, 44):
        np.testing.assert_allclose(found[row], queries.embed([texts[row]])[0], atol=3e-5)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """Without a text student."""
    return open_bundle(small_bundle(tmp_path_factory.mktemp("plain"), metadata=False))


def test_without_a_text_student_it_says_what_the_cloud_has_to_make(plain: Bundle) -> None:
    with pytest.raises(UserError, match=r'has no text student.*teacher embed-text "a man in a red coat" --out q\.npz'):
        TextQueries.load(plain)


def embeddings(count: int, width: int = 24, seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(size=(count, width)).astype(np.float32) * 7


def test_vectors_of_the_cloud_are_projected_into_the_students_space(plain: Bundle, tmp_path: Path) -> None:
    texts, rows = ["a man in a red coat", "a woman", "d'être « vu »"], embeddings(3)
    write_vectors(tmp_path / "q.npz", rows, texts, teacher="ab" * 32, space_id=plain.space_id)
    queries = TextQueries.load(plain, tmp_path / "q.npz")
    found = queries.embed([texts[2], texts[0], texts[2]])
    # z = (t / |t| - mean) @ basis, of length 1.
    space = subspace()
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    wanted = ((unit - space.mean) @ space.basis)[[2, 0, 2]]
    np.testing.assert_allclose(found, wanted / np.linalg.norm(wanted, axis=1, keepdims=True), atol=1e-5)
    assert (found.shape, found.dtype) == ((3, DIM), np.float32)
    assert isinstance(queries, TextVectors)
    assert queries.texts == tuple(texts)
    assert queries.source == f"3 sentences of {tmp_path / 'q.npz'}"


def test_sentences_have_the_mean_of_sentences(tmp_path: Path) -> None:
    space = subspace()
    means = np.random.default_rng(3).normal(size=(4, 24)) / 24
    by_modality = Subspace("principal", means, space.basis, space.variances, space.spectrum)
    by_modality.save(tmp_path / "subspace.safetensors")
    path = small_bundle(tmp_path, metadata=False, subspace=tmp_path / "subspace.safetensors")
    write_vectors(tmp_path / "q.npz", embeddings(1), ["one"])
    found = TextQueries.load(open_bundle(path), tmp_path / "q.npz").embed(["one"])
    unit = embeddings(1) / np.linalg.norm(embeddings(1))
    wanted = (unit - means[list(Modality).index(Modality.TEXT)]) @ space.basis
    np.testing.assert_allclose(found, wanted / np.linalg.norm(wanted), atol=1e-5)


def test_a_sentence_that_nobody_embedded_is_refused_with_the_nearest(plain: Bundle, tmp_path: Path) -> None:
    write_vectors(tmp_path / "q.npz", embeddings(2), ["a man in a red coat", "a woman with a bag"])
    queries = TextQueries.load(plain, tmp_path / "q.npz")
    with pytest.raises(UserError, match="has no text 'a man in a rad coat'; the nearest is 'a man in a red coat'"):
        queries.embed(["a man in a rad coat"])
    with pytest.raises(UserError, match="has no text 'zzz'; it has 'a man in a red coat', 'a woman with a bag'; embed"):
        queries.embed(["zzz"])
    for nothing in ([], "a man in a red coat", [7]):
        with pytest.raises(UserError, match="text: "):
            queries.embed(nothing)  # type: ignore[arg-type]


def test_vectors_of_another_space_teacher_or_width_are_refused(plain: Bundle, tmp_path: Path) -> None:
    path = tmp_path / "q.npz"
    write_vectors(path, embeddings(1), ["one"], space_id="6" * 64)
    with pytest.raises(UserError, match="is for the space 666666666666, this bundle's is 555555555555"):
        TextQueries.load(plain, path)
    write_vectors(path, embeddings(1, 25), ["one"])
    with pytest.raises(UserError, match="embeddings have 25 numbers, this bundle's teacher gives 24"):
        TextQueries.load(plain, path)
    of = small_bundle(tmp_path, metadata=False, about={"teacher": "cd" * 32})
    write_vectors(path, embeddings(1), ["one"], teacher="ab" * 32)
    with pytest.raises(UserError, match="is of teacher abababababab, this bundle's is cdcdcdcdcdcd"):
        TextQueries.load(open_bundle(of), path)
    write_vectors(path, embeddings(1), ["one"], teacher="cd" * 32)
    assert TextQueries.load(open_bundle(of), path).embed(["one"]).shape == (1, DIM)


@pytest.mark.parametrize("damage", ["missing", "text", "array", "key", "format", "rows", "objects", "cut"])
def test_what_is_no_file_of_vectors_is_named(plain: Bundle, tmp_path: Path, damage: str) -> None:
    path = tmp_path / "q.npz"
    arrays: dict[str, Any] = {
        "embeddings": embeddings(2), "texts": np.array(["one", "two"]), "format": np.array(FORMAT),
        "teacher": np.array(""), "space_id": np.array(""),
    }  # fmt: skip
    if damage == "text":
        path.write_text("a man in a red coat")
    elif damage == "array":
        with path.open("wb") as file:
            np.save(file, embeddings(2))
    elif damage != "missing":
        changed = {
            "key": {}, "format": {"format": np.array(FORMAT[:-1] + "2")}, "rows": {"texts": np.array(["one"])},
            "objects": {"texts": np.array(["one", None], dtype=object)}, "cut": {},
        }[damage]  # fmt: skip
        arrays |= changed
        if damage == "key":
            del arrays["teacher"]
        np.savez(path, **arrays)
        if damage == "cut":
            path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(UserError, match=r"q\.npz: ") as caught:
        TextQueries.load(plain, path)
    assert "\n" not in str(caught.value)


def test_vectors_are_written_whole_or_not_at_all(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="NaN, infinite or zero: text 'two'"):
        write_vectors(tmp_path / "q.npz", np.array([[1.0, 2.0], [np.nan, 1.0]]), ["one", "two"])
    with pytest.raises(ValueError, match="for 1 texts"):
        write_vectors(tmp_path / "q.npz", embeddings(2), ["one"])
    assert list(tmp_path.iterdir()) == []


def test_a_tokenizer_that_is_none_is_named(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_text("{}")
    graph = helper.make_graph(
        [helper.make_node("Gather", ["w", "input_ids"], ["coordinates"], name="gather")],
        "text",
        [helper.make_tensor_value_info("input_ids", TensorProto.INT64, ["batch", "tokens"])],
        [helper.make_tensor_value_info("coordinates", TensorProto.FLOAT, ["batch", "tokens", DIM])],
        [numpy_helper.from_array(np.ones((4, DIM), np.float32), "w")],
    )
    model: onnx.ModelProto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    path = small_bundle(tmp_path, metadata=False, text=Text(model, tmp_path / "tokenizer.json", 12))
    with pytest.raises(UserError, match=r"tokenizer\.json: is no tokenizer"):
        TextQueries.load(open_bundle(path))
