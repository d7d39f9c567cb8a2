"""The teacher checkpoint: a plain PEFT adapter folder, the neck, and what the adapter does not say.

adapter_config.json, adapter_model.safetensors   loads with peft.PeftModel.from_pretrained alone
model/                                           instead, if every weight was trained
tuned.safetensors                                parts of the model of which every weight was trained
readout.safetensors                              what the readout brings: semantic token, interaction, cameras
neck.safetensors                                 batch norm and classifier
teacher.json                                     base, family, prompts, preprocessing, readout, cameras
recipe.yaml                                      the full settings; reruns the training
log.jsonl, tensorboard/                          how the training went
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from peft import PeftConfig, PeftModel, get_peft_model_state_dict
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from edge_runtime.preprocess import Preprocessing
from reid.artifact import expect_kind
from reid.errors import UserError
from teacher.backbone import Backbone, Base, load_backbone, without_transformers_words
from teacher.encoder import Encoder
from teacher.lora import ADAPTER, MAGNITUDE, fixed_magnitudes, without_peft_warnings
from teacher.objective import Neck
from teacher.readout import Reader, make_reader
from teacher.recipe import load_recipe
from teacher.settings import Interaction, Readout, Recipe
from teacher.teacher import Teacher
from teacher.whole import WholePart, match_parts, put_weights, weights_of

KIND = "teacher"
FORMAT = 1
ABOUT, NECK, MODEL, RECIPE = "teacher.json", "neck.safetensors", "model", "recipe.yaml"
PROCESSOR = "preprocessor_config.json"
ADAPTER_WEIGHTS, TUNED, READOUT = "adapter_model.safetensors", "tuned.safetensors", "readout.safetensors"


def save_teacher(
    folder: Path,
    backbone: Backbone,
    recipe: Recipe,
    neck: Neck,
    adapter: PeftModel | None,
    reader: Reader | None = None,
    parts: Sequence[WholePart] = (),
) -> None:
    """Write a teacher into `folder`, which an `ArtifactWriter` makes whole.

    Args:
        folder: where. backbone: with the trained weights in it. recipe: in full.
        neck: trained. adapter: None if the tuning has none.
        reader: trained; None if it has no weights. parts: those that were trained whole.
    """
    if adapter is not None:
        _save_adapter(folder, adapter, backbone.base)
    elif recipe.tuning.kind == "full":
        with without_transformers_words():
            backbone.model.save_pretrained(folder / MODEL)
        backbone.tokenizer.save_pretrained(folder / MODEL)
        if backbone.image_processor:
            (folder / MODEL / PROCESSOR).write_text(json.dumps(backbone.image_processor), encoding="utf-8")
    if parts:
        _save_weights(weights_of(backbone.model, parts), folder / TUNED)
    if reader is not None and reader.state_dict():
        _save_weights(reader.state_dict(), folder / READOUT)
    _save_weights(neck.state_dict(), folder / NECK)
    cameras = None if reader is None else reader.cameras
    about = {
        "format": FORMAT,
        "base": {"name": backbone.base.name, "revision": backbone.base.revision, "digest": backbone.base.digest},
        "family": backbone.family.model_type,
        "tuning": recipe.tuning.kind,
        "width": backbone.width,
        "preprocessing": backbone.preprocessing.to_dict(),
        "prompts": recipe.prompts.model_dump(),
        "readout": recipe.readout.model_dump(),
        "cameras": None if cameras is None else {"kind": cameras.kind, "names": list(cameras.names)},
    }
    (folder / ABOUT).write_text(json.dumps(about, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def load_teacher(
    folder: Path,
    *,
    base: str | None = None,
    device: str | torch.device = "cpu",
    dtype: torch.dtype = torch.float32,
    merge: bool = False,
) -> Teacher:
    """Load a checkpoint.

    Args:
        folder: the checkpoint.
        base: where its base lies now, if not where it lay then.
        device, dtype: of the weights.
        merge: add the adapter to the weights, which makes every pass cheaper and rounds once more if dtype is not
            float32.

    Raises:
        UserError: not a checkpoint, its base is another one or missing, or a weight is MISSING or UNEXPECTED.
    """
    manifest = expect_kind(folder, KIND)
    about, recipe = _read_about(folder), load_recipe(str(folder / RECIPE))
    if about["tuning"] == "full":
        backbone = load_backbone(str(folder / MODEL), recipe.image, device=device, dtype=dtype)
        backbone.base = Base(**about["base"])
    else:
        backbone = _load_base(folder, about, base, recipe, device, dtype)
    # As it was trained: a base that was copied without its preprocessor_config.json would be shown other colours.
    backbone.preprocessing = Preprocessing.from_dict(about["preprocessing"], str(folder / ABOUT))
    parts = match_parts(backbone.model, backbone.family, recipe.tuning.used_parts)
    adapter = _load_adapter(folder, backbone) if about["tuning"] == "lora" else None
    changed = put_weights(places := weights_of(backbone.model, parts), _read_fitting(folder / TUNED, places))
    if adapter is not None and merge:
        adapter.merge_and_unload()
    encoder = Encoder(backbone, recipe.prompts, _load_reader(folder, about, recipe.readout, backbone))
    neck = _load_neck(folder, backbone.width, recipe).to(device)
    kept = None if merge else adapter
    merged = adapter is not None and merge
    return Teacher(
        encoder.eval(), recipe, backbone.base, neck.eval(), kept, merged, str(folder), manifest.sha256,
        whole_weights=len(places), whole_changed=changed,
    )  # fmt: skip


def bare_teacher(backbone: Backbone, recipe: Recipe) -> Teacher:
    """A base that was not trained, read by a recipe's prompts: without a neck, an interaction or cameras."""
    plain: dict[str, Any] = {"embedding": "before_neck", "css": "none"}
    if recipe.readout.kind == "semantic_token":
        plain |= {"token": "generated", "interaction": Interaction(kind="none")}
    recipe = recipe.model_copy(update={"readout": recipe.readout.model_copy(update=plain)})
    encoder = Encoder(backbone, recipe.prompts, make_reader(recipe.readout, backbone))
    return Teacher(encoder.eval(), recipe, backbone.base, identity=backbone.base.digest)


def go_on_from(
    folder: Path,
    recipe: Recipe,
    backbone: Backbone,
    reader: Reader,
    adapter: PeftModel | None,
    parts: Sequence[WholePart],
) -> None:
    """Put what another checkpoint has learnt into what will train: adapter, whole parts, readout.

    Embeddings of cameras are those of its own data set, and are left out.

    Raises:
        UserError: the base, the levels, the parts or the readout differ, or `folder` is no checkpoint to go on from.
    """
    if recipe.tuning.kind not in ("lora", "parts"):
        raise UserError(f"--init {folder}: goes with tuning.kind lora or parts; give --base {folder}/model instead")
    if adapter is not None:
        load_adapter_weights(adapter, folder, backbone.base)
    else:
        expect_kind(folder, KIND)
        about = _read_about(folder)
        if about["tuning"] != recipe.tuning.kind:
            raise UserError(f"{folder}: its tuning.kind was {about['tuning']}, not {recipe.tuning.kind}")
        _refuse_other_base(folder, about, backbone.base)
    places = weights_of(backbone.model, parts)
    put_weights(places, _read_fitting(folder / TUNED, places))
    own, path = reader.state_dict(), folder / READOUT
    found = _read_weights(path) if path.is_file() else {}
    own, found = (
        {key: value for key, value in state.items() if not key.startswith("cameras.")} for state in (own, found)
    )
    _refuse_other_keys(path, own, found)
    put_weights(own, found)


def load_adapter_weights(adapter: PeftModel, folder: Path, base: Base) -> None:
    """Put the weights of another checkpoint's adapter into one freshly attached to `base`, to train it on.

    Raises:
        UserError: the base or the levels differ, or `folder` is no checkpoint with an adapter.
    """
    expect_kind(folder, KIND)
    about = _read_about(folder)
    tuning = about["tuning"]
    if tuning != "lora":
        instead = f"; give --base {folder / MODEL} instead" if tuning == "full" else ""
        raise UserError(f"{folder}: has no adapter to train on, because its tuning.kind was {tuning}{instead}")
    _refuse_other_base(folder, about, base)
    found = _read_weights(folder / ADAPTER_WEIGHTS)
    own = _state_of(adapter)
    wrong = sorted(set(own) - set(found)) or [key for key in own if own[key].shape != found[key].shape]
    if not wrong:
        places = dict(adapter.named_parameters())
        with torch.no_grad():
            for key in own:
                places[_in_model(key)].copy_(found[key])
        # The magnitudes of levels without DoRA follow from their weights, unless they were trained.
        fixed = fixed_magnitudes(adapter)
        wrong = sorted(
            key for key in set(found) - set(own) if key not in fixed or not _is_near(found[key], fixed[key].cpu())
        )
    if wrong:
        raise UserError(
            f"{folder}: its adapter has other levels than the recipe ({wrong[0]}, {len(wrong)} such weights)"
        )


def _save_adapter(folder: Path, adapter: PeftModel, base: Base) -> None:
    state = {key: value.detach().cpu().contiguous() for key, value in _state_of(adapter).items()}
    state |= {key: value.cpu().contiguous() for key, value in fixed_magnitudes(adapter).items()}
    save_file(state, folder / ADAPTER_WEIGHTS, metadata={"format": "pt"})
    config = adapter.peft_config[ADAPTER]
    was = config.inference_mode
    config.base_model_name_or_path, config.inference_mode = base.name, True
    config.save_pretrained(str(folder))
    config.inference_mode = was


def _read_about(folder: Path) -> dict[str, Any]:
    path = folder / ABOUT
    try:
        about: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if about["format"] != FORMAT:
            raise UserError(f"{path}: format {about['format']}; this version reads {FORMAT}")
        missing = {"base", "family", "tuning", "width", "preprocessing", "prompts", "readout"} - set(about)
        if missing:
            raise UserError(f"{path}: lacks '{min(missing)}'; copy the checkpoint again")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path}: not readable ({type(error).__name__}: {error})") from error
    return about


def _load_base(
    folder: Path, about: dict[str, Any], base: str | None, recipe: Recipe, device: Any, dtype: torch.dtype
) -> Backbone:
    name, revision = base or about["base"]["name"], None if base else about["base"]["revision"]
    if Path(name).is_absolute() and not Path(name).is_dir():
        raise UserError(f"{folder}: its base {name} is no longer there; name its place with --base")
    quantise = recipe.tuning.quantise
    backbone = load_backbone(name, recipe.image, revision=revision, device=device, dtype=dtype, quantise=quantise)
    _refuse_other_base(folder, about, backbone.base)
    return backbone


def _refuse_other_base(folder: Path, about: dict[str, Any], base: Base) -> None:
    trained = Base(**about["base"])
    if base.digest != trained.digest:
        raise UserError(f"{folder}: was trained on {trained}, not on {base}; name its own base with --base")


def _load_adapter(folder: Path, backbone: Backbone) -> PeftModel:
    found = _read_weights(folder / ADAPTER_WEIGHTS)
    try:
        config = PeftConfig.from_pretrained(str(folder))
        with without_peft_warnings():
            adapter = PeftModel.from_pretrained(backbone.model, str(folder), config=config)
    except (OSError, ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"{folder}: its adapter does not fit {backbone.base} ({reason})") from error
    _refuse_other_keys(folder / ADAPTER_WEIGHTS, _state_of(adapter), found)
    return adapter


def _load_reader(folder: Path, about: dict[str, Any], readout: Readout, backbone: Backbone) -> Reader:
    cameras = about.get("cameras") or {"kind": "", "names": []}
    try:
        kind, names = str(cameras["kind"]), [str(name) for name in cameras["names"]]
    except (KeyError, TypeError) as error:
        raise UserError(
            f"{folder / ABOUT}: 'cameras' is not what it was written as; copy the checkpoint again"
        ) from error
    reader = make_reader(readout, backbone, kind, names)
    own = reader.state_dict()
    put_weights(own, _read_fitting(folder / READOUT, own))
    return reader.to(backbone.model.dtype).requires_grad_(False)


def _read_fitting(path: Path, places: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The weights for these places; no file is looked for where there are none.

    Raises:
        UserError: the file is not readable, or holds other weights.
    """
    if not places:
        return {}
    found = _read_weights(path)
    _refuse_other_keys(path, places, found)
    return found


def _save_weights(weights: Mapping[str, torch.Tensor], path: Path) -> None:
    save_file({name: value.detach().cpu().contiguous() for name, value in weights.items()}, path)


def _load_neck(folder: Path, width: int, recipe: Recipe) -> Neck:
    state = _read_weights(folder / NECK)
    people = len(state["classifier.weight"]) if "classifier.weight" in state else 1
    neck = Neck(width, people, recipe.objective.id.scale)
    _refuse_other_keys(folder / NECK, neck.state_dict(), state)
    neck.load_state_dict(state)
    return neck.requires_grad_(False)


def _refuse_other_keys(path: Path, expected: Mapping[str, Any], found: Mapping[str, Any]) -> None:
    for what, keys in (("MISSING", set(expected) - set(found)), ("UNEXPECTED", set(found) - set(expected))):
        if keys:
            raise UserError(f"{path}: {what} weights: {min(keys)} ({len(keys)} such keys)")
    for key, weight in expected.items():
        if weight.shape != found[key].shape:
            raise UserError(f"{path}: {key} has shape {list(found[key].shape)}; expected {list(weight.shape)}")


def _is_near(one: torch.Tensor, other: torch.Tensor) -> bool:
    """Whether two vectors are equal up to how a base is rounded."""
    return one.shape == other.shape and torch.allclose(one, other, rtol=1e-3)


def _state_of(adapter: PeftModel) -> dict[str, torch.Tensor]:
    """What the adapter's file holds: never embeddings, so peft need not ask the hub how many the base has."""
    state: dict[str, torch.Tensor] = get_peft_model_state_dict(adapter, save_embedding_layers=False)
    return state


def _read_weights(path: Path) -> dict[str, torch.Tensor]:
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise UserError(f"{path}: not readable ({error}); copy the checkpoint again") from error


def _in_model(key: str) -> str:
    """The parameter's name in the model for a key of the adapter's file, which leaves out the adapter's name."""
    if key.endswith(MAGNITUDE):
        return f"{key}.{ADAPTER}.weight"
    head, _, tail = key.rpartition(".")
    return f"{head}.{ADAPTER}.{tail}"
