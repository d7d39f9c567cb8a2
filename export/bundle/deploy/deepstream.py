"""Configuration for DeepStream: `nvinfer` on the detector's boxes, or the tracker's ReID block.

Both compute `scale * (x - offset)` with one scale for all channels, so that a standard deviation per channel cannot be
said there. It is in the graph: the pixels go in as they are, scale 1 and offsets 0.

Keys: gstnvinfer_property_parser.h and the Gst-nvtracker page of DeepStream's documentation (8.0).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_PLACE = "/opt/reid"
_NETWORK_MODES = {"fp32": 0, "int8": 1, "fp16": 2}
"""Of nvinfer. bf16 has none: the engine decides."""
_REID_MODES = {"fp32": 0, "fp16": 1, "int8": 2}
"""Of the tracker, which counts otherwise."""


def nvinfer(details: Mapping[str, Any], recipe: Mapping[str, Any]) -> str:
    """The secondary inference: an embedding of each person box, as tensor metadata of the object."""
    _, channels, height, width = details["input"]["shape"]
    precision = recipe["precisions"][0]
    return f"""# Secondary inference of DeepStream: an embedding of each person that the primary detector finds.
# Read it in a probe from NvDsInferTensorMeta of the object, layer "{details["output"]["name"]}", {details["output"]["dim"]} x float32,
# and divide it by its length. Build the engine first (build.sh): left to itself nvinfer builds without strong typing,
# and what has to stay in fp32 does not. The graph has mean and standard deviation inside: scale 1, offsets 0.
# Boxes are stretched to the input, as in training; their filter is not Pillow's. Not run on hardware yet.
[property]
gpu-id=0
gie-unique-id=2
process-mode=2
operate-on-gie-id=1
# The class that is "person" for your detector.
operate-on-class-ids=0
onnx-file=../../../{recipe["graphs"][precision]}
model-engine-file=../../../../engines/student.engine
batch-size={details["profile"]["max"]}
network-mode={_NETWORK_MODES.get(precision, 0)}
network-type=100
output-tensor-meta=1
output-blob-names={details["output"]["name"]}
infer-dims={channels};{height};{width}
network-input-order=0
model-color-format=0
net-scale-factor=1.0
offsets=0;0;0
maintain-aspect-ratio=0
workspace-size={details["workspace_mb"]}
input-object-min-width=16
input-object-min-height=32
"""  # noqa: E501 - one line of the file that is written


def tracker(details: Mapping[str, Any], recipe: Mapping[str, Any]) -> str:
    """The ReID block of a configuration of NvDCF or NvDeepSORT."""
    _, channels, height, width = details["input"]["shape"]
    precision = recipe["precisions"][0]
    return f"""# Replaces the ReID block of config_tracker_NvDCF_accuracy.yml or config_tracker_NvDeepSORT.yml.
# Paths as they are where the bundle lies at {_PLACE}/bundle and build.sh has run. The graph takes RGB from 0 to 255 and
# normalises itself; its output is not of length 1, so the tracker divides it. Not run on hardware yet.
ReID:
  # 2: for re-association. NvDeepSORT takes 1.
  reidType: 2
  outputReidTensor: 1
  batchSize: {details["profile"]["max"]}
  workspaceSize: {details["workspace_mb"]}
  reidFeatureSize: {details["output"]["dim"]}
  reidHistorySize: 100
  inferDims: [{channels}, {height}, {width}]
  networkMode: {_REID_MODES.get(precision, 0)}
  # 0: NCHW, and 0: RGB.
  inputOrder: 0
  colorFormat: 0
  offsets: [0.0, 0.0, 0.0]
  netScaleFactor: 1.0
  # Stretched to the input, as in training.
  keepAspc: 0
  addFeatureNormalization: 1
  onnxFile: "{_PLACE}/bundle/{recipe["graphs"][precision]}"
  modelEngineFile: "{_PLACE}/engines/student.engine"
"""
