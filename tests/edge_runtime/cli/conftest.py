"""A real bundle of a small student that reads text too, a few synthetic people, and the command."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edge_runtime.bundle import open_bundle
from edge_runtime.embedder import Embedder
from reid.datasets import open_dataset
from reid.modality import Modality
from reid.synthetic.world import World
from reid.synthetic.write import write_world

sys.path.insert(0, str(Path(__file__).parents[2] / "export"))
os.environ["OMP_NUM_THREADS"] = "1"

Floats = NDArray[np.float32]


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of a vit-micro that nobody trained, with a text student; fp32."""
    return make_bundle(tmp_path_factory.mktemp("bundle"), seed=0)


@pytest.fixture(scope="session")
def other_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One of another space, without a text student."""
    from small_bundles import small_bundle

    return small_bundle(tmp_path_factory.mktemp("other"), metadata=False)


def make_bundle(folder: Path, seed: int) -> Path:
    """A bundle as `export bundle` writes it, without the proofs that take long."""
    import torch
    from small_export import text_source

    from export.batch import Profile
    from export.bundle.contents import contents_of
    from export.bundle.write import write_bundle
    from export.crops import synthetic_crops
    from export.graph.image import image_graph
    from export.graph.space import space_id
    from export.graph.text import text_graph
    from export.session import open_session, run_crops

    torch.set_num_threads(1)
    source = text_source(folder / "student", seed=seed)
    graph, crops = image_graph(source), synthetic_crops(source.preprocessing, 2)
    reference = run_crops(open_session(graph, threads=1), crops)
    contents = contents_of(
        source, [], space_id=space_id(source), check=crops, reference=reference, graphs={"fp32": graph},
        text_graph=text_graph(source), profile=Profile(1, 4, 8), targets=("orin-nano",),
    )  # fmt: skip
    return write_bundle(folder / "bundle", contents)


@pytest.fixture(scope="session")
def people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """staff/PERSON/CAMERA.png of six people by two cameras, and the same people in visitors/ by a third."""
    root = tmp_path_factory.mktemp("people")
    world = World(seed=5, people=6, cameras=3, per_camera=1, sketches=1, captions=1, size=(96, 48), lookalikes=0)
    write_world(world, root / "world", progress=False)
    for sample in open_dataset(str(root / "world")).samples:
        if sample.modality is Modality.RGB:
            folder = root / ("visitors" if sample.camera_id == "c3" else "staff") / f"p{sample.person_id}"
            folder.mkdir(parents=True, exist_ok=True)
            assert sample.image is not None
            shutil.copy(sample.image, folder / f"{sample.camera_id}.png")
        elif sample.modality is Modality.SKETCH:
            (root / "sketches").mkdir(exist_ok=True)
            assert sample.image is not None
            shutil.copy(sample.image, root / "sketches" / f"p{sample.person_id}.png")
    return root


@pytest.fixture
def edge(reid: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bundle: Path) -> Callable[..., Any]:
    """edge("search", ...) runs the command in an empty folder, with one thread, on the bundle where it takes one."""
    monkeypatch.chdir(tmp_path)

    def call(name: str, *words: object, bundle: Path | None = bundle) -> Any:
        chosen: list[object] = []
        if name in ("enroll", "search", "embed", "bench") or words[:1] == ("reembed",):
            chosen = ["--threads", 1, *(["--bundle", bundle] if bundle is not None else [])]
        return reid("edge", name, *words, *chosen)

    return call


@pytest.fixture(scope="session")
def embedder(bundle: Path) -> Embedder:
    """The bundle's student, asked by its interface."""
    return Embedder.load(open_bundle(bundle), engine="onnxruntime", threads=1)


@pytest.fixture
def gallery(edge: Any, people: Path, tmp_path: Path) -> Path:
    """people.db with the staff: twelve rows of six people."""
    done = edge("enroll", "people.db", people / "staff", "--camera", "door")
    assert done.code == 0, done.err
    return tmp_path / "people.db"
