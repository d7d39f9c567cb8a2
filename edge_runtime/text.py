"""Sentences as queries, without a language model on the device.

A bundle may hold a text student: a small graph that reads the teacher's tokens. Where it does not, sentences that the
cloud has embedded come in a file of vectors, which the bundle's subspace projects into the student's space:

    embeddings   float32 [n, D], of the teacher; of any length but 0
    texts        str [n], the sentences
    format       str, "reid-distill text vectors 1"
    teacher      str, identity of the teacher (the sha256 of its manifest), "" if it is not known
    space_id     str, of the bundle that they are for, "" if they are for every student of that teacher

as NumPy's .npz, which holds no pickles.
"""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from edge_runtime.bundle import Bundle
from edge_runtime.engines.engine import ATTENTION_MASK, INPUT_IDS, Engine
from edge_runtime.engines.onnxruntime import OnnxRuntimeEngine
from reid.artifact import replacing
from reid.errors import UserError
from reid.modality import Modality
from reid.similarity import normalise

FORMAT = "reid-distill text vectors 1"
_BATCH = 32

Floats = NDArray[np.float32]


class TextQueries:
    """Sentences in, embeddings in the bundle's space out. `load` makes the one that a bundle allows."""

    def embed(self, texts: Sequence[str]) -> Floats:
        """Embeddings float32 [n, k] of length 1 of n sentences.

        Raises:
            UserError: a sentence cannot be answered; which and why.
        """
        raise NotImplementedError

    @property
    def source(self) -> str:
        """What answers, in words."""
        raise NotImplementedError

    @classmethod
    def load(cls, bundle: Bundle, vectors: Path | None = None, *, threads: int = 0) -> TextQueries:
        """What answers sentences: the file if one is given, else the bundle's text student.

        Args:
            bundle: opened. vectors: a file that the cloud made. threads: of the CPU; 0: as many as there are cores.

        Raises:
            UserError: there is neither, or it does not go with the bundle.
        """
        if vectors is not None:
            return TextVectors(bundle, vectors)
        if bundle.text is None:
            raise UserError(
                f"{bundle.folder}: has no text student, so that a sentence needs the cloud; there: teacher embed-text "
                '"a man in a red coat" --out q.npz, then give q.npz here with --vectors; or distil a student of text'
            )
        return TextStudentQueries(bundle, threads=threads)


class TextStudentQueries(TextQueries):
    """By the bundle's text student, in ONNX Runtime on the CPU.

    Args:
        bundle: that has one. threads: of the CPU.

    Raises:
        UserError: there is none, or `onnxruntime` or `tokenizers` is missing.
    """

    def __init__(self, bundle: Bundle, *, threads: int = 0) -> None:
        if bundle.text is None:
            raise UserError(f"{bundle.folder}: has no text student; export one with the student")
        path = bundle.file(bundle.graph("fp32", role="text").path)
        self._tokenizer = _tokenizer(bundle.file(bundle.text.tokenizer))
        self._longest, self._engine = bundle.text.longest, _engine(path, threads)

    @property
    def source(self) -> str:
        """What answers, in words."""
        return "the bundle's text student"

    def tokens(self, text: str) -> list[int]:
        """Token ids of a sentence, at most as many as the student reads; special tokens that it spells out are read as
        plain characters."""
        return list(self._tokenizer.encode(text, add_special_tokens=False).ids[: self._longest])

    def embed(self, texts: Sequence[str]) -> Floats:
        """Embeddings float32 [n, k] of length 1 of n sentences."""
        sentences = [self.tokens(text) for text in _sentences(texts)]
        rows = [
            self._engine.run(padded(sentences[start : start + _BATCH])) for start in range(0, len(sentences), _BATCH)
        ]
        return normalise(np.concatenate(rows), [f"text '{text}'" for text in texts], copy=False)


class TextVectors(TextQueries):
    """By a file of sentences that the cloud has embedded (see this module).

    Args:
        bundle: whose subspace projects them. path: the file.

    Raises:
        UserError: it is no such file, of another teacher, or for another bundle.
    """

    def __init__(self, bundle: Bundle, path: Path) -> None:
        raw = _read(path)
        for_space, teacher = str(raw["space_id"]), str(raw["teacher"])
        ours = bundle.manifest.details.get("student", {}).get("teacher", "")
        if for_space and for_space != bundle.space_id:
            raise UserError(
                f"{path}: is for the space {for_space[:12]}, this bundle's is {bundle.space_id[:12]}; embed the text "
                "again for this bundle"
            )
        if teacher and ours and teacher != ours:
            raise UserError(
                f"{path}: is of teacher {teacher[:12]}, this bundle's is {ours[:12]}; embed the text with that one"
            )
        subspace = bundle.subspace()
        embeddings: NDArray[Any] = raw["embeddings"]
        if embeddings.shape[1] != subspace.dim:
            raise UserError(
                f"{path}: embeddings have {embeddings.shape[1]} numbers, this bundle's teacher gives {subspace.dim}; "
                "embed the text with the teacher that the student was distilled from"
            )
        self._path = path
        self.texts = tuple(str(text) for text in raw["texts"])
        coordinates = subspace.project(embeddings, [Modality.TEXT] * len(embeddings))
        self._rows = normalise(coordinates, [f"text '{text}'" for text in self.texts], copy=False)
        self._place = {text: row for row, text in enumerate(self.texts)}

    @property
    def source(self) -> str:
        """What answers, in words."""
        return f"{len(self.texts)} sentences of {self._path}"

    def embed(self, texts: Sequence[str]) -> Floats:
        """Embeddings float32 [n, k] of length 1 of n sentences that are in the file."""
        for text in _sentences(texts):
            if text not in self._place:
                near = get_close_matches(text, self.texts, 1)
                having = f"the nearest is '{near[0]}'" if near else f"it has {', '.join(map(repr, self.texts[:3]))}"
                more = "" if near or len(self.texts) <= 3 else ", ..."
                raise UserError(f"{self._path}: has no text '{text}'; {having}{more}; embed it in the cloud")
        return self._rows[[self._place[text] for text in texts]]


def write_vectors(
    path: Path, embeddings: NDArray[np.floating], texts: Sequence[str], *, teacher: str = "", space_id: str = ""
) -> None:
    """Write a file of sentences that a teacher has embedded, whole or not at all.

    Args:
        embeddings: [n, D], of the teacher. texts: [n]. teacher, space_id: see this module.

    Raises:
        UserError: a row is NaN, infinite or zero, or the file cannot be written.
        ValueError: the numbers of rows differ.
    """
    if embeddings.ndim != 2 or len(embeddings) != len(texts):
        raise ValueError(f"embeddings {embeddings.shape} for {len(texts)} texts")
    rows = normalise(embeddings, [f"text '{text}'" for text in texts])
    arrays: dict[str, Any] = {
        "embeddings": rows, "texts": np.array(list(texts), dtype=np.str_), "format": np.array(FORMAT),
        "teacher": np.array(teacher), "space_id": np.array(space_id),
    }  # fmt: skip
    with replacing(path) as part, part.open("wb") as file:
        np.savez(file, **arrays)


def padded(sentences: Sequence[Sequence[int]]) -> dict[str, NDArray[np.int64]]:
    """What the text graph takes of token ids: int64 [n, T] each, padded on the right."""
    length = max(1, *map(len, sentences))
    ids = np.zeros((len(sentences), length), dtype=np.int64)
    mask = np.zeros_like(ids)
    for row, tokens in enumerate(sentences):
        ids[row, : len(tokens)] = tokens
        mask[row, : len(tokens)] = 1
    return {INPUT_IDS: ids, ATTENTION_MASK: mask}


def _engine(path: Path, threads: int) -> Engine:
    return OnnxRuntimeEngine(path, threads=threads)


def _sentences(texts: Sequence[str]) -> Sequence[str]:
    if isinstance(texts, str) or not all(isinstance(text, str) for text in texts):
        raise UserError("text: expected a list of sentences")
    if not len(texts):
        raise UserError("text: there is no sentence")
    return texts


def _tokenizer(path: Path) -> Any:
    try:
        import tokenizers
    except ImportError as error:
        raise UserError(
            f"sentences need tokenizers ({error}); install it with: pip install 'reid-distill[edge]', or give vectors "
            "from the cloud"
        ) from error
    try:
        made = tokenizers.Tokenizer.from_file(str(path))
    except Exception as error:  # the package raises plain Exception
        raise UserError(
            f"{path}: is no tokenizer ({' '.join(str(error).split())[:200]}); make the bundle again"
        ) from error
    # As the student was trained: nothing is cut, filled up or special but by us.
    made.no_truncation()
    made.no_padding()
    made.encode_special_tokens = True
    return made


def _read(path: Path) -> dict[str, NDArray[Any]]:
    wanted = ("embeddings", "texts", "format", "teacher", "space_id")
    try:
        # A file that is opened here is closed, whatever NumPy makes of it.
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            if not hasattr(arrays, "files"):
                raise ValueError("it is a single array")
            found = {name: arrays[name] for name in wanted}
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; expected vectors, as `teacher embed-text` writes them") from None
    except (OSError, ValueError, KeyError, EOFError, BadZipFile, AttributeError, TypeError) as error:
        words = " ".join(str(error).split())[:200]
        raise UserError(f"{path}: holds no vectors of text ({words}); make it with `teacher embed-text`") from error
    if str(found["format"]) != FORMAT:
        raise UserError(f"{path}: format '{found['format']}'; this version reads '{FORMAT}'; make it again")
    embeddings, texts = found["embeddings"], found["texts"]
    fitting = embeddings.ndim == 2 and texts.shape == (len(embeddings),) and len(embeddings) > 0
    if not fitting or embeddings.dtype.kind != "f" or texts.dtype.kind != "U":
        raise UserError(
            f"{path}: embeddings {embeddings.dtype} {list(embeddings.shape)} do not go with texts {texts.dtype} "
            f"{list(texts.shape)}; make it again"
        )
    return found
