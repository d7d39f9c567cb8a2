"""`teacher init`: a small checkpoint of the real Qwen2-VL architecture, for work without a hub or a GPU."""

from teacher.tiny.architecture import SIZES
from teacher.tiny.make import make_base

__all__ = ["SIZES", "make_base"]
