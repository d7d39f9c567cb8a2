"""Containers and the systemd unit of a Jetson.

The base images are NVIDIA's, named from their catalogue; none has been pulled here. `--build-arg BASE=` takes another.
"""

from __future__ import annotations

from export.targets import JetPack, Target

_BASES = {
    "5": "nvcr.io/nvidia/l4t-tensorrt:r8.5.2.2-devel",
    "6.0": "nvcr.io/nvidia/l4t-tensorrt:r8.6.2-devel",
    "6": "nvcr.io/nvidia/l4t-tensorrt:r10.3.0-devel",
    "7": "nvcr.io/nvidia/tensorrt:25.08-py3",
}
"""JetPack, or its major version -> an image with its TensorRT and trtexec."""
PLACE = "/opt/reid"


def base_image(jetpack: JetPack) -> str:
    """An image that has the TensorRT of a JetPack."""
    return _BASES.get(jetpack.name) or _BASES[jetpack.name.partition(".")[0]]


def dockerfile(target: Target, jetpack: JetPack) -> str:
    """An image that builds the engine on the device. Run with the bundle and a folder of engines mounted."""
    return f"""# JetPack {jetpack.name}: TensorRT {jetpack.tensorrt}, CUDA {jetpack.cuda}, Python {jetpack.python}.
# docker build -f Dockerfile.jp{jetpack.name} -t reid-engine .
# docker run --rm --runtime nvidia -v {PLACE}/bundle:/bundle:ro -v {PLACE}/engines:/engines reid-engine
# The TensorRT in the image must be the one that runs the engine. Not run on hardware yet.
ARG BASE={base_image(jetpack)}
FROM ${{BASE}}
ENTRYPOINT ["sh", "/bundle/deploy/{target.name}/build.sh", "/engines"]
"""


def compose(target: Target) -> str:
    """The engine is built first, then Triton serves it."""
    newest = target.jetpacks[-1]
    return f"""# TRITON_IMAGE=nvcr.io/nvidia/tritonserver:... docker compose up
# Take the Triton image whose TensorRT is the one that this device builds with. Not run on hardware yet.
services:
  engine:
    build:
      context: .
      dockerfile: ${{DOCKERFILE:-Dockerfile.jp{newest.name}}}
    runtime: nvidia
    volumes:
      - ${{BUNDLE:-{PLACE}/bundle}}:/bundle:ro
      - ${{ENGINES:-{PLACE}/engines}}:/engines
  triton:
    image: ${{TRITON_IMAGE:?name the Triton image for this JetPack}}
    runtime: nvidia
    depends_on:
      engine:
        condition: service_completed_successfully
    # The engine behind the link is mounted as Triton's model, version 1.
    entrypoint: ["sh", "-c"]
    command:
      - >-
        mkdir -p /models/student/1 &&
        ln -sfn /engines/student.engine /models/student/1/model.plan &&
        exec tritonserver --model-repository=/models
    ports: ["127.0.0.1:8000:8000", "127.0.0.1:8001:8001", "127.0.0.1:8002:8002"]
    volumes:
      - ${{ENGINES:-{PLACE}/engines}}:/engines:ro
      - ./triton/student/config.pbtxt:/models/student/config.pbtxt:ro
    restart: unless-stopped
"""


def unit(target: Target) -> str:
    """Builds the engine at the first start after a bundle was copied, and is done at once at every other."""
    return f"""# cp reid-engine.service /etc/systemd/system/ && systemctl enable --now reid-engine
# Services that need the engine say: Requires=reid-engine.service and After=reid-engine.service
# Not run on hardware yet.
[Unit]
Description=Engine of the person re-identification bundle
After=local-fs.target
ConditionPathExists={PLACE}/bundle/manifest.json

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/sh {PLACE}/bundle/deploy/{target.name}/build.sh {PLACE}/engines
TimeoutStartSec=1h
ProtectSystem=strict
ReadWritePaths={PLACE}
PrivateTmp=yes
NoNewPrivileges=yes

[Install]
WantedBy=multi-user.target
"""
