"""A multimodal LLM as transformers loads it, with what its family says about it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from textwrap import shorten
from typing import Any

import torch
from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError
from torch import nn
from transformers import AutoConfig, AutoModelForImageTextToText, AutoTokenizer, PreTrainedModel
from transformers.image_processing_base import ImageProcessingMixin
from transformers.utils import logging as transformers_logging
from transformers.utils.hub import cached_file

from edge_runtime.preprocess import CLIP_MEAN, CLIP_STD, Preprocessing
from reid.errors import UserError
from teacher.families import Family, find_family
from teacher.settings import Image

_EDGE = 65536
"""Bytes at three places of a weight file that go into a base's digest."""


@dataclass(frozen=True)
class Base:
    """Which multimodal LLM: a folder or a hub id, the hub's revision, and a digest of its config and weights."""

    name: str
    revision: str | None
    digest: str

    def __str__(self) -> str:
        return f"{self.name}{'@' + self.revision if self.revision else ''} ({self.digest[:12]})"


@dataclass
class Backbone:
    """A loaded base.

    Attributes:
        base: which one.
        family: its family.
        model: the unmodified `...ForConditionalGeneration`, perhaps with LoRA layers in it.
        tokenizer: its tokenizer.
        preprocessing: input size of the recipe, mean and std of the base.
        image_processor: the base's own preprocessor_config.json; empty if it has none.
    """

    base: Base
    family: Family
    model: PreTrainedModel
    tokenizer: Any
    preprocessing: Preprocessing
    image_processor: dict[str, Any] = field(default_factory=dict)

    @property
    def width(self) -> int:
        """D, of the language model's hidden states."""
        return int(self.model.config.get_text_config().hidden_size)


def load_backbone(
    name: str,
    image: Image,
    *,
    revision: str | None = None,
    device: str | torch.device = "cpu",
    dtype: torch.dtype = torch.float32,
    quantise: bool = False,
    attention: str = "sdpa",
) -> Backbone:
    """Load a base.

    Args:
        name: a folder, or an id on the hub.
        image: input size.
        revision: of the hub id.
        device: where to.
        dtype: of the weights.
        quantise: load the linear layers in 4 bits, with bitsandbytes.
        attention: transformers' attention implementation.

    Raises:
        UserError: nothing loadable is there, its family is not supported, weights are missing, its tokenizer lacks
            the image token, or the input size does not suit its vision tower.
    """
    config = _config(name, revision)
    family = find_family(config.model_type, name)
    rows_columns = family.grid(config, image.height, image.width)
    assert min(rows_columns) > 0
    tokenizer = _tokenizer(name, revision, family, config)
    # No pickles, which digest_of would not look at either.
    options: dict[str, Any] = {"attn_implementation": attention, "dtype": dtype, "revision": revision}
    options["use_safetensors"] = True
    if quantise:
        options["quantization_config"] = _four_bits(dtype)
        options["device_map"] = {"": device}
    model = _model(name, options)
    family.prepare(model)
    if not quantise:
        # nn.Module's own: transformers' is typed for another argument.
        nn.Module.to(model, device)
    model.requires_grad_(False)
    base = _which(name, revision)
    processor = _image_processor(name, revision)
    return Backbone(base, family, model.eval(), tokenizer, _preprocessing(processor, image), processor)


def _which(name: str, revision: str | None) -> Base:
    """A folder by its place, a hub id by its commit (a branch moves on); both by what they hold."""
    if Path(name).is_dir():
        return Base(str(Path(name).resolve()), None, digest_of(Path(name)))
    # .../snapshots/COMMIT/config.json; it was loaded a moment ago.
    snapshot = Path(str(cached_file(name, "config.json", revision=revision))).parent
    return Base(name, snapshot.name, digest_of(snapshot))


def digest_of(folder: Path) -> str:
    """What tells one base from another: config, tokenizer and a look at each weight file.

    Reading gigabytes whole to compute a hash would take longer than loading them; the look is the size and the first,
    middle and last 64 KiB of each file.
    """
    digest = hashlib.sha256()
    for path in (folder / "config.json", folder / "tokenizer.json"):
        if path.is_file():
            digest.update(path.read_bytes())
    for path in sorted(folder.glob("*.safetensors")):
        size = path.stat().st_size
        digest.update(f"{path.name} {size}".encode())
        with path.open("rb") as file:
            for start in (0, size // 2, max(0, size - _EDGE)):
                file.seek(start)
                digest.update(file.read(_EDGE))
    return digest.hexdigest()


@contextmanager
def without_transformers_words() -> Iterator[None]:
    """Within the context transformers shows no bars and warns of nothing; what matters we say ourselves."""
    level, bars = transformers_logging.get_verbosity(), transformers_logging.is_progress_bar_enabled()
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        transformers_logging.set_verbosity(level)
        if bars:
            transformers_logging.enable_progress_bar()


def _config(name: str, revision: str | None) -> Any:
    folder = Path(name)
    if folder.is_dir() and not (folder / "config.json").is_file():
        raise UserError(f"{name}: has no config.json; expected a folder that save_pretrained wrote, or a hub id")
    try:
        return AutoConfig.from_pretrained(name, revision=revision)
    except (OSError, ValueError, KeyError, TypeError, StrictDataclassError) as error:
        reason = _reason(error)
        # A model_type that transformers does not know is a KeyError or ValueError; the user needs our list either way.
        if folder.is_dir():
            raw = _json(folder / "config.json")
            find_family(str(raw.get("model_type", "none")), name)
            raise UserError(f"{folder / 'config.json'}: not the config of a {raw['model_type']} ({reason})") from error
        raise UserError(f"{name}: is no folder of a model, and the hub did not give it ({reason})") from error


def _reason(error: Exception) -> str:
    return shorten(str(error), 200, placeholder=" ...") or type(error).__name__


def _json(path: Path) -> dict[str, Any]:
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: not a JSON file ({error})") from error
    return raw if isinstance(raw, dict) else {}


def _tokenizer(name: str, revision: str | None, family: Family, config: Any) -> Any:
    try:
        tokenizer = AutoTokenizer.from_pretrained(name, revision=revision)
    except (OSError, ValueError, KeyError) as error:
        raise UserError(f"{name}: its tokenizer does not load ({_reason(error)})") from error
    image = family.image_token_id(config)
    if image >= len(tokenizer) or tokenizer.convert_ids_to_tokens(image) not in tokenizer.get_added_vocab():
        raise UserError(
            f"{name}: the tokenizer has no image token with id {image}, which {family.name} puts in the place of "
            "images; use the tokenizer that belongs to this model"
        )
    return tokenizer


def _model(name: str, options: dict[str, Any]) -> PreTrainedModel:
    load: Any = AutoModelForImageTextToText.from_pretrained
    try:
        with without_transformers_words():
            model, loaded = load(name, output_loading_info=True, **options)
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise UserError(f"{name}: its weights do not load ({_reason(error)})") from error
    for what in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        keys = sorted(map(str, loaded.get(what) or ()))
        if keys:
            found = what.removesuffix("_keys").upper()
            raise UserError(
                f"{name}: {found} weights: {keys[0]} ({len(keys)} such keys); the files do not belong together"
            )
    assert isinstance(model, PreTrainedModel)
    return model


def _four_bits(dtype: torch.dtype) -> Any:
    from importlib.util import find_spec

    if find_spec("bitsandbytes") is None:
        raise UserError("tuning.quantise needs bitsandbytes and a GPU; install it with: pip install bitsandbytes")
    if not torch.cuda.is_available():
        raise UserError("tuning.quantise needs a GPU, and none is there; set tuning.quantise=false")
    from transformers import BitsAndBytesConfig

    return BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True, bnb_4bit_compute_dtype=dtype
    )


def _image_processor(name: str, revision: str | None) -> dict[str, Any]:
    try:
        raw, _ = ImageProcessingMixin.get_image_processor_dict(name, revision=revision)
    except OSError:
        return {}
    processor: dict[str, Any] = raw.get("image_processor", raw)
    return processor


def _preprocessing(raw: Mapping[str, Any], image: Image) -> Preprocessing:
    """The recipe's size with the mean and the std that the base was trained with."""
    mean, std = raw.get("image_mean", CLIP_MEAN), raw.get("image_std", CLIP_STD)
    return Preprocessing(image.height, image.width, _three(mean), _three(std))


def _three(values: Any) -> tuple[float, float, float]:
    red, green, blue = map(float, values)
    return red, green, blue
