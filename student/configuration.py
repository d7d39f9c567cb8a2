"""What a student is, in its `config.json`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from transformers import PreTrainedConfig

from edge_runtime.preprocess import Preprocessing
from reid.modality import Modality
from student.family import FAMILIES, Family
from student.zoo import IMAGENET

IMAGE_MODALITIES = tuple(modality for modality in Modality if modality.is_image)
"""Those that a stem can be for; their codes are 0, 1, 2."""


class StudentConfig(PreTrainedConfig):
    """The config of a `StudentModel`.

    Attributes:
        backbone: model_type and own keys of the nested transformers config, with its input size and channels.
        student: name in the zoo.
        dim: k, how many outputs.
        height, width: of the input in pixels.
        pooling: see `student.pooling.pool`.
        stems: "shared": one first convolution for all images; "modality": one for each image modality.
        output_scale: fixed factor on the k outputs, so that the head works at unit scale.
        drop_path: stochastic depth (arXiv 1603.09382) of the last block; it grows linearly from 0.
        mean, std, resampling: of `edge_runtime.preprocess.Preprocessing`.
        init: the pretrained weights that it began with, as they were asked for; None: random ones.
        dropped: which of those weights a student has no use for.
    """

    model_type = "reid_student"

    backbone: dict[str, Any] | None = None
    student: str = ""
    dim: int = 64
    height: int = 256
    width: int = 128
    pooling: str = "cls_mean"
    stems: str = "shared"
    output_scale: float = 1.0
    drop_path: float = 0.0
    mean: list[float] | tuple[float, ...] = IMAGENET[0]
    std: list[float] | tuple[float, ...] = IMAGENET[1]
    resampling: str = "bicubic"
    init: str | None = None
    dropped: list[str] | tuple[str, ...] = ()

    @property
    def family(self) -> Family:
        """Of its backbone."""
        assert self.backbone is not None
        return FAMILIES[self.backbone["model_type"]]

    def backbone_config(self) -> PreTrainedConfig:
        """The nested config."""
        assert self.backbone is not None
        return self.family.config.from_dict(dict(self.backbone))

    def preprocessing(self) -> Preprocessing:
        """From an image to its input."""
        return Preprocessing(self.height, self.width, _three(self.mean), _three(self.std), self.resampling)


def _three(values: Sequence[float]) -> tuple[float, float, float]:
    red, green, blue = map(float, values)
    return red, green, blue
