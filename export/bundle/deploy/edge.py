"""What runs `edge` on a Jetson: a service that enrols a detector's boxes, and a container with the runtime."""

from __future__ import annotations

from export.bundle.deploy.container import PLACE, base_image
from export.targets import JetPack, Target

_OLDEST_PYTHON = (3, 10)
DATA = "/var/lib/reid"
BOXES = "/run/reid/boxes"


def runs_edge(jetpack: JetPack) -> bool:
    """Whether a JetPack's own Python is new enough for the runtime."""
    return tuple(int(part) for part in jetpack.python.split(".")) >= _OLDEST_PYTHON


def edge_unit(target: Target) -> str:
    """Follows a pipe of boxes; what it has enrolled survives a power cut, and it starts again by itself."""
    return f"""# The runtime in a virtual environment of its own, on {target.name}:
#   python3 -m venv --system-site-packages {PLACE}/venv && {PLACE}/venv/bin/pip install 'reid-distill[edge]'
#   useradd --system --groups video,render reid
#   cp reid-edge.service /etc/systemd/system/ && systemctl enable --now reid-edge
# (--system-site-packages: TensorRT's Python comes with JetPack.) Then a detector writes JSON lines, a line a frame:
#   {{"image": "/dev/shm/frame.jpg", "camera": "door", "boxes": [{{"box": [412, 80, 64, 170], "track": "7"}}]}}
#   detector > {BOXES}
# and anybody may ask meanwhile: edge search {DATA}/people.db crop.jpg --bundle {PLACE}/bundle
# Not run on hardware yet.
[Unit]
Description=Person re-identification: enrols what a detector sees
After=local-fs.target reid-engine.service
ConditionPathExists={PLACE}/bundle/manifest.json

[Service]
User=reid
StateDirectory=reid
RuntimeDirectory=reid
WorkingDirectory={DATA}
Environment=XDG_CACHE_HOME={DATA}/cache
ExecStartPre=/bin/sh -c 'test -p {BOXES} || mkfifo -m 0620 {BOXES}'
# The pipe is opened for reading and writing, so that it does not end when a detector does.
ExecStart=/bin/sh -c 'exec {PLACE}/venv/bin/edge enroll {DATA}/people.db --boxes - --tracklets --skip-broken \\
    --bundle {PLACE}/bundle --cache {DATA}/engines --keep-days 30 0<>{BOXES}'
Restart=always
RestartSec=2
# Python ends at once and cleanly on this one; rows are on disk either way.
KillSignal=SIGINT
SuccessExitStatus=130
ProtectSystem=strict
ProtectHome=yes
PrivateTmp=yes
NoNewPrivileges=yes

[Install]
WantedBy=multi-user.target
"""


def edge_dockerfile(jetpack: JetPack) -> str:
    """The runtime in NVIDIA's image for a JetPack."""
    return f"""# `edge` on JetPack {jetpack.name}: TensorRT {jetpack.tensorrt}, Python {jetpack.python}.
# docker build -f Dockerfile.edge.jp{jetpack.name} -t reid-edge .
# docker run --rm --runtime nvidia -v {PLACE}/bundle:/bundle:ro -v {PLACE}/data:/data reid-edge doctor
# docker run --rm --runtime nvidia -v {PLACE}/bundle:/bundle:ro -v {PLACE}/data:/data \\
#     reid-edge search people.db crop.jpg --bundle /bundle
# --build-arg PACKAGE=./reid_distill-*.whl installs a wheel that lies here. Not run on hardware yet.
ARG BASE={base_image(jetpack)}
FROM ${{BASE}}
ARG PACKAGE=reid-distill
RUN apt-get update \\
    && apt-get install --yes --no-install-recommends python3-pip python3-venv python3-libnvinfer \\
    && rm -rf /var/lib/apt/lists/*
COPY . /tmp/context/
# --system-site-packages: TensorRT's Python comes with the image.
RUN python3 -m venv --system-site-packages /opt/venv \\
    && cd /tmp/context \\
    && /opt/venv/bin/pip install --no-cache-dir "$(echo ${{PACKAGE}})[edge]" \\
    && rm -rf /tmp/context
# Engines are kept beside the gallery: a container is thrown away, they take minutes.
ENV XDG_CACHE_HOME=/data/cache
WORKDIR /data
VOLUME /data
ENTRYPOINT ["/opt/venv/bin/edge"]
CMD ["doctor"]
"""


def edge_service(jetpack: JetPack) -> str:
    """The part of `compose.yaml`: `detector | docker compose run --rm -T edge`."""
    return f"""  # detector | docker compose run --rm -T edge
  edge:
    profiles: ["edge"]
    build:
      context: .
      dockerfile: ${{EDGE_DOCKERFILE:-Dockerfile.edge.jp{jetpack.name}}}
    runtime: nvidia
    stdin_open: true
    command: ["enroll", "people.db", "--boxes", "-", "--tracklets", "--skip-broken", "--bundle", "/bundle", "--cache", "/data/engines"]
    volumes:
      - ${{BUNDLE:-{PLACE}/bundle}}:/bundle:ro
      - ${{DATA:-{PLACE}/data}}:/data
"""  # noqa: E501 - one line of the file that is written
