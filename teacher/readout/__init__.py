"""Where the embedding is read: one way, one small file."""

from __future__ import annotations

from teacher.readout.cameras import Cameras
from teacher.readout.make import make_reader
from teacher.readout.reader import Reader, States

__all__ = ["Cameras", "Reader", "States", "make_reader"]
