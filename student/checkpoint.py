"""The student artifact, as `distill run` leaves it.

config.json, model.safetensors        loads with `StudentModel.from_pretrained` alone
subspace.safetensors                  the teacher's mean, basis and spectrum: what the k outputs mean
text/                                 the text student, if one was distilled: config.json, model.safetensors
text/tokenizer/                       the teacher's tokenizer
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError
from transformers import AutoTokenizer, PreTrainedModel

from reid.artifact import expect_kind
from reid.errors import UserError
from student.family import FAMILIES
from student.model import StudentModel
from student.pooling import VECTORS
from student.quiet import quiet_transformers
from student.sentences import SentenceReader
from student.text import TextStudent

KIND = "student"
CONFIG, WEIGHTS, SUBSPACE = "config.json", "model.safetensors", "subspace.safetensors"
TEXT, TOKENIZER = "text", "tokenizer"


def load_student(folder: Path, *, attention: str = "sdpa") -> StudentModel:
    """The student of an artifact, on the CPU, in float32, in evaluation mode.

    Args:
        folder: the artifact.
        attention: transformers' attention implementation; "eager" for export and for attention maps.

    Raises:
        UserError: not a student, cut short, or a weight is MISSING, UNEXPECTED or of another shape.
    """
    expect_kind(folder, KIND)
    model = _load(StudentModel, folder, attention)
    assert isinstance(model, StudentModel)
    return model


def load_text_student(folder: Path, *, attention: str = "sdpa") -> TextStudent | None:
    """The text student of an artifact; None if it has none. Raises as `load_student`."""
    expect_kind(folder, KIND)
    if not (folder / TEXT).is_dir():
        return None
    model = _load(TextStudent, folder / TEXT, attention)
    assert isinstance(model, TextStudent)
    return model


def tokenizer_folder(folder: Path) -> Path:
    """Where the tokenizer of an artifact's text student lies."""
    return folder / TEXT / TOKENIZER


def load_reader(folder: Path, text: TextStudent) -> SentenceReader:
    """What turns sentences into the tokens of an artifact's text student.

    Raises:
        UserError: the tokenizer does not load.
    """
    place = tokenizer_folder(folder)
    try:
        with quiet_transformers():
            tokenizer = AutoTokenizer.from_pretrained(place)
    except (OSError, ValueError, KeyError) as error:
        raise UserError(f"{place}: does not load ({' '.join(str(error).split())[:200]}); copy it again") from error
    return SentenceReader(tokenizer, text.config.longest)


def save_weights(model: StudentModel | TextStudent, folder: Path) -> None:
    """Write config.json and model.safetensors into `folder`, which an `ArtifactWriter` makes whole."""
    with quiet_transformers():
        model.save_pretrained(folder)


def _load(cls: Any, folder: Path, attention: str) -> PreTrainedModel:
    try:
        with quiet_transformers():
            config = cls.config_class.from_pretrained(folder)
            _refuse_newer(folder, config)
            model, told = cls.from_pretrained(
                folder, config=config, attn_implementation=attention, use_safetensors=True, output_loading_info=True
            )
    except (OSError, ValueError, TypeError, RuntimeError, StrictDataclassError, SafetensorError) as error:
        raise UserError(f"{folder}: does not load ({' '.join(str(error).split())[:200]}); copy it again") from error
    for what in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        if keys := sorted(map(str, told[what])):
            found = what.removesuffix("_keys").upper()
            raise UserError(f"{folder}: {found} weights: {keys[0]} ({len(keys)} such keys); copy the student again")
    assert isinstance(model, PreTrainedModel)
    model.train(False)
    return model


def _refuse_newer(folder: Path, config: Any) -> None:
    """A config that this version could not follow."""
    if config.model_type == "reid_student":
        family = (config.backbone or {}).get("model_type")
        if family not in FAMILIES or config.pooling not in VECTORS:
            raise UserError(
                f"{folder / CONFIG}: backbone '{family}' with pooling '{config.pooling}' is not known here; was it "
                "written by a newer version?"
            )
