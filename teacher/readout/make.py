"""From a recipe's `readout` section to the module that reads."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from reid.errors import UserError
from teacher.backbone import Backbone
from teacher.readout.cameras import Cameras
from teacher.readout.image_latents import ImageLatents
from teacher.readout.interaction import CrossInteraction, SelfInteraction
from teacher.readout.last_token import LastToken
from teacher.readout.reader import Reader
from teacher.readout.semantic_token import SemanticToken
from teacher.readout.visual_tokens import VisualTokens
from teacher.settings import Interaction, Readout


def make_reader(settings: Readout, backbone: Backbone, kind: str = "", cameras: Sequence[str] = ()) -> Reader:
    """The module that reads embeddings as the recipe says, untrained.

    Args:
        settings: the recipe's section. backbone: what is read from.
        kind: of the data set that is trained on. cameras: ids of its cameras, for `css`.

    Raises:
        UserError: there are no cameras to tell apart, or the interaction's heads do not divide the width.
    """
    at_patches = settings.css == "patches"
    width = backbone.family.patch_embedding(backbone.model)[1] if at_patches else backbone.width
    known = None if settings.css == "none" else _cameras(kind, cameras, width, settings.css)
    plain: dict[str, Callable[[Cameras | None], Reader]]
    plain = {"last_token": LastToken, "image_latents": ImageLatents, "visual_tokens": VisualTokens}
    if settings.kind == "semantic_token":
        reader: Reader = SemanticToken(
            backbone.width,
            _interaction(settings.interaction, backbone),
            learnt=settings.token == "learnt",
            stop_gradient=settings.stop_gradient,
            cameras=known,
            at_patches=at_patches,
        )
    else:
        reader = plain[settings.kind](known)
        reader.passes_gradient = not settings.stop_gradient
    return reader.to(backbone.model.device)


def _cameras(kind: str, names: Sequence[str], width: int, css: str) -> Cameras:
    if not names:
        raise UserError(
            f"readout.css: {css}, but no training image has a camera_id; set readout.css=none or name the cameras"
        )
    return Cameras(kind, names, width)


def _interaction(how: Interaction, backbone: Backbone) -> SelfInteraction | CrossInteraction | None:
    if how.kind == "none":
        return None
    if backbone.width % how.heads:
        raise UserError(
            f"readout.interaction.heads: {how.heads} does not divide {backbone.width}, the width of this "
            f"{backbone.family.name}"
        )
    size = backbone.preprocessing
    tokens = backbone.family.visual_tokens(backbone.model.config, size.height, size.width) if how.places else 0
    make: type[SelfInteraction] | type[CrossInteraction]
    make = SelfInteraction if how.kind == "self" else CrossInteraction
    return make(backbone.width, how.layers, how.heads, how.ratio, tokens)
