"""What goes onto a device beside the graphs: every path and number in it is right for our graph."""

from __future__ import annotations

import configparser
import json
import re
import shutil
import stat
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from small_bundles import DIM, FIT, linear_graph, people, small_bundle, small_contents

from edge_runtime.bundle import open_bundle
from export.session import open_session
from export.targets import TARGETS

JETSONS = tuple(target.name for target in TARGETS.values() if target.kind == "jetson")


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    model = linear_graph()
    return small_bundle(
        tmp_path_factory.mktemp("deployed"), graphs={"fp32": model, "fp16": model}, targets=tuple(TARGETS),
        kept={"fp16": ("node_MatMul_1", "node_LayerNorm_2")},
    )  # fmt: skip


def properties(path: Path) -> dict[str, str]:
    """The `[property]` group as GLib's key files have it: no comment after a value."""
    parser = configparser.ConfigParser(interpolation=None, delimiters="=", comment_prefixes="#")
    parser.read_string(path.read_text())
    return dict(parser["property"])


@pytest.mark.parametrize("target", sorted(TARGETS))
def test_every_target_has_a_recipe_that_names_graphs_in_the_bundle(bundle: Path, target: str) -> None:
    recipe = open_bundle(bundle).recipe(target)
    assert recipe["precisions"] == ["fp16", "fp32"]
    for name in recipe["graphs"].values():
        assert (bundle / name).is_file()
    assert recipe["weakly_typed"]["graph"] == "model/student.fp32.onnx"
    assert recipe["weakly_typed"]["fp32_nodes"] == ["node_MatMul_1", "node_LayerNorm_2"]
    assert recipe["profile"] == {"min": 1, "opt": 4, "max": 8}
    assert recipe["target"]["name"] == target
    assert not (bundle / "deploy" / target / "build.sh").exists() or TARGETS[target].kind != "rtx"


def test_deepstream_feeds_the_graph_what_it_was_trained_on(bundle: Path) -> None:
    """nvinfer computes scale * (x - offset) in the colour order that the file names; the graph must then answer as it
    does for the check crops."""
    found = properties(bundle / "deploy/orin-nano/deepstream/nvinfer.txt")
    scale = float(found["net-scale-factor"])
    offsets = np.array([float(word) for word in found["offsets"].split(";")], dtype=np.float32)
    order = {"0": [0, 1, 2], "1": [2, 1, 0]}[found["model-color-format"]]
    assert [int(word) for word in found["infer-dims"].split(";")] == [3, FIT.height, FIT.width]
    planar = (scale * (people().pixels[..., order].astype(np.float32) - offsets)).transpose(0, 3, 1, 2)
    session = open_session(bundle / "model/student.fp32.onnx", threads=1)
    rows = session.run([found["output-blob-names"]], {"pixels": np.ascontiguousarray(planar)})[0]
    np.testing.assert_allclose(rows, open_bundle(bundle).check().reference, rtol=1e-5, atol=1e-5)
    assert found["maintain-aspect-ratio"] == "0"
    assert (found["network-type"], found["output-tensor-meta"], found["network-mode"]) == ("100", "1", "2")
    assert int(found["batch-size"]) == 8


@pytest.mark.parametrize("target", JETSONS)
def test_paths_in_the_deepstream_files_lead_to_the_graph_and_to_the_engine(bundle: Path, target: str) -> None:
    folder = bundle / "deploy" / target / "deepstream"
    found = properties(folder / "nvinfer.txt")
    assert (folder / found["onnx-file"]).resolve() == bundle / "model/student.fp16.onnx"
    assert (folder / found["model-engine-file"]).resolve() == bundle.parent / "engines/student.engine"
    reid = yaml.safe_load((folder / "tracker.yml").read_text())["ReID"]
    assert reid["onnxFile"] == "/opt/reid/bundle/model/student.fp16.onnx"
    assert reid["modelEngineFile"] == "/opt/reid/engines/student.engine"


def test_the_tracker_normalises_what_the_graph_does_not(bundle: Path) -> None:
    reid = yaml.safe_load((bundle / "deploy/orin-nx/deepstream/tracker.yml").read_text())["ReID"]
    assert (reid["netScaleFactor"], reid["offsets"], reid["colorFormat"], reid["inputOrder"]) == (1.0, [0.0] * 3, 0, 0)
    assert (reid["inferDims"], reid["reidFeatureSize"]) == ([3, FIT.height, FIT.width], DIM)
    assert (reid["addFeatureNormalization"], reid["keepAspc"], reid["networkMode"]) == (1, 0, 1)


def test_a_graph_with_a_second_input_gets_no_deepstream_files_and_says_why(tmp_path: Path) -> None:
    bundle = small_bundle(tmp_path, by_modality=True)
    assert not (bundle / "deploy/orin-nano/deepstream").exists()
    assert "nvinfer" in open_bundle(bundle).recipe("orin-nano")["deepstream"]
    text = (bundle / "deploy/orin-nano/triton/student/config.pbtxt").read_text()
    assert re.search(r'name: "modality"\s+data_type: TYPE_INT64\s+dims: \[ 1 \]\s+reshape: \{ shape: \[ \] \}', text)
    assert "--optShapes=pixels:4x3x32x16,modality:4 " in (bundle / "deploy/orin-nano/build.sh").read_text()


def test_triton_knows_names_shapes_and_batches(bundle: Path) -> None:
    text = (bundle / "deploy/orin-nano/triton/student/config.pbtxt").read_text()
    plain = " ".join(line for line in text.splitlines() if not line.startswith("#"))
    assert plain.count("{") == plain.count("}")
    assert plain.count("[") == plain.count("]")
    assert re.search(r'input \[\s+\{\s+name: "pixels"\s+data_type: TYPE_FP32\s+dims: \[ 3, 32, 16 \]', plain)
    assert re.search(rf'output \[\s+\{{\s+name: "coordinates"\s+data_type: TYPE_FP32\s+dims: \[ {DIM} \]', plain)
    assert "max_batch_size: 8" in plain
    assert "preferred_batch_size: [ 4, 8 ]" in plain


@pytest.mark.parametrize("target", JETSONS)
def test_containers_and_the_unit_start_the_script_that_is_there(bundle: Path, target: str) -> None:
    folder = bundle / "deploy" / target
    composed = yaml.safe_load((folder / "compose.yaml").read_text())["services"]
    default = re.search(r":-([^}]+)}", composed["engine"]["build"]["dockerfile"])
    assert default
    assert (folder / default[1]).is_file()
    assert all(port.startswith("127.0.0.1:") for port in composed["triton"]["ports"])
    for dockerfile in folder.glob("Dockerfile.jp*"):
        entry = re.search(r"^ENTRYPOINT (\[.*\])$", dockerfile.read_text(), re.MULTILINE)
        assert entry
        assert (bundle / Path(json.loads(entry[1])[1]).relative_to("/bundle")).is_file()
    unit = (folder / "reid-engine.service").read_text()
    started = re.search(r"^ExecStart=/bin/sh (\S+) (\S+)$", unit, re.MULTILINE)
    assert started
    assert (bundle / Path(started[1]).relative_to("/opt/reid/bundle")).is_file()
    assert started[2] == "/opt/reid/engines"


HELP = {
    "8.6": "--fp16 --buildOnly --skipInference --builderOptimizationLevel --precisionConstraints",
    "10.3": "--fp16 --stronglyTyped --skipInference --builderOptimizationLevel",
    "11.0": "--skipInference --builderOptimizationLevel",
}
FAKE = """#!/bin/sh
case $1 in --help) echo "&&&& RUNNING TensorRT.trtexec [TensorRT v@VERSION@] # trtexec"; echo "@HELP@"; exit 0 ;; esac
printf '%s\\n' "$@" > "@LOG@"
echo run >> "@LOG@.runs"
for word in "$@"; do
    case $word in
        --memPoolSize=workspace:*) [ "${word##*:}" -le @ENOUGH@ ] || exit 1 ;;
        --saveEngine=*) printf engine > "${word#*=}" ;;
    esac
done
"""


class Device:
    """A folder with a bundle, and a trtexec that writes down what it was asked."""

    def __init__(self, folder: Path, bundle: Path, version: str, *, enough: int = 4096) -> None:
        self.bundle = Path(shutil.copytree(bundle, folder / "bundle"))
        self.log, self.engines = folder / "log", folder / "engines"
        self.trtexec = folder / "trtexec"
        words = {
            "VERSION": version.replace(".", "0"),
            "HELP": HELP[version],
            "LOG": str(self.log),
            "ENOUGH": str(enough),
        }
        text = FAKE
        for word, value in words.items():
            text = text.replace(f"@{word}@", value)
        self.trtexec.write_text(text)
        self.trtexec.chmod(self.trtexec.stat().st_mode | stat.S_IXUSR)

    def build(self) -> subprocess.CompletedProcess[str]:
        command = ["sh", str(self.bundle / "deploy/orin-nano/build.sh")]
        path = {"PATH": "/usr/bin:/bin", "TRTEXEC": str(self.trtexec)}
        return subprocess.run(command, capture_output=True, text=True, env=path, check=False)

    @property
    def asked(self) -> list[str]:
        return self.log.read_text().splitlines()

    @property
    def runs(self) -> int:
        return len(Path(f"{self.log}.runs").read_text().splitlines())


def test_the_script_builds_the_typed_graph_where_there_is_strong_typing(bundle: Path, tmp_path: Path) -> None:
    device = Device(tmp_path, bundle, "10.3")
    done = device.build()
    assert done.returncode == 0, done.stderr
    assert f"--onnx={device.bundle}/model/student.fp16.onnx" in device.asked
    assert "--stronglyTyped" in device.asked
    assert not [word for word in device.asked if word.startswith(("--fp16", "--layerPrecisions"))]
    assert {"--minShapes=pixels:1x3x32x16", "--maxShapes=pixels:8x3x32x16", "--skipInference"} <= set(device.asked)
    assert Path(done.stdout.strip()).read_text() == "engine"
    assert (device.engines / "student.engine").resolve() == Path(done.stdout.strip())
    assert "trt1003" in done.stdout
    device.build()
    assert device.runs == 1


def test_the_script_tells_an_old_builder_what_stays_in_fp32_and_a_new_one_nothing(bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "old").mkdir()
    old = Device(tmp_path / "old", bundle, "8.6")
    assert old.build().returncode == 0
    assert f"--onnx={old.bundle}/model/student.fp32.onnx" in old.asked
    assert {"--fp16", "--precisionConstraints=obey"} <= set(old.asked)
    assert "--layerPrecisions=node_MatMul_1:fp32,node_LayerNorm_2:fp32" in old.asked
    (tmp_path / "new").mkdir()
    new = Device(tmp_path / "new", bundle, "11.0")
    assert new.build().returncode == 0
    assert f"--onnx={new.bundle}/model/student.fp16.onnx" in new.asked
    assert not [word for word in new.asked if "fp16" in word.replace("student", "") and word.startswith("--fp16")]
    assert "--stronglyTyped" not in new.asked


def test_an_old_builder_without_an_fp32_graph_is_an_error(tmp_path: Path) -> None:
    bundle = small_bundle(tmp_path, "only-half", graphs={"fp16": linear_graph()})
    (tmp_path / "device").mkdir()
    done = Device(tmp_path / "device", bundle, "8.6").build()
    assert done.returncode == 2
    assert "or export it with --fp32 --fp16" in done.stderr


def test_a_build_that_lacks_memory_is_tried_with_half_and_gives_up_in_words(bundle: Path, tmp_path: Path) -> None:
    for folder in ("some", "none"):
        (tmp_path / folder).mkdir()
    device = Device(tmp_path / "some", bundle, "10.3", enough=256)
    assert device.build().returncode == 0
    assert device.runs == 3
    assert "--memPoolSize=workspace:256" in device.asked
    poor = Device(tmp_path / "none", bundle, "10.3", enough=1)
    done = poor.build()
    assert done.returncode == 1
    assert "the engine was not built" in done.stderr
    assert not [path for path in poor.engines.iterdir() if path.name.startswith("student")]


def test_a_tampered_bundle_is_not_built(bundle: Path, tmp_path: Path) -> None:
    device = Device(tmp_path, bundle, "10.3")
    (device.bundle / "model/student.fp16.onnx").write_bytes(b"other")
    done = device.build()
    assert done.returncode == 2
    assert "model/student.fp16.onnx" in done.stderr + done.stdout
    assert not device.log.exists()


def test_bf16_is_not_for_a_device_that_lacks_it(tmp_path: Path) -> None:
    model: Any = linear_graph()
    contents = small_contents(tmp_path, graphs={"bf16": model, "fp32": model}, targets=("orin-nano", "thor"))
    from export.bundle.write import write_bundle

    bundle = open_bundle(write_bundle(tmp_path / "bundle", contents))
    assert bundle.recipe("orin-nano")["precisions"] == ["fp32"]
    assert bundle.recipe("thor")["precisions"] == ["bf16", "fp32"]


@pytest.mark.parametrize("precision", ["int8", "bf16"])
def test_what_was_asked_for_is_built_or_refused_but_never_fp32_in_its_stead(tmp_path: Path, precision: str) -> None:
    model = linear_graph()
    path = small_bundle(tmp_path, graphs={"fp32": model, precision: model}, first=precision)
    assert open_bundle(path).recipe("orin-nano")["precisions"] == [precision, "fp32"]
    for version in ("8.6", "10.3"):
        (tmp_path / version).mkdir()
    new, old = Device(tmp_path / "10.3", path, "10.3"), Device(tmp_path / "8.6", path, "8.6")
    assert new.build().returncode == 0
    assert f"--onnx={new.bundle}/model/student.{precision}.onnx" in new.asked
    done = old.build()
    assert done.returncode == 2
    assert f"nothing to build {precision} from" in done.stderr
