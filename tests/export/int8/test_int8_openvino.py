"""INT8 by NNCF."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from int8_graphs import cosines
from onnx import ModelProto

from export.crops import Crops
from export.int8.openvino_int8 import openvino_int8, run_openvino
from export.session import open_session, run_crops
from reid.errors import UserError

pytest.importorskip("openvino")
pytest.importorskip("nncf")


@pytest.fixture(scope="module")
def few(calibration: Crops) -> Crops:
    """Of every modality, for NNCF takes its time."""
    return calibration.take(range(0, 24, 3))


@pytest.fixture(scope="module")
def files(fp32: ModelProto, few: Crops, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return openvino_int8(fp32, few, tmp_path_factory.mktemp("openvino") / "student.int8")


def test_the_model_is_int8_small_and_near_to_fp32(fp32: ModelProto, files: tuple[Path, Path], others: Crops) -> None:
    xml, weights = files
    assert (xml.name, weights.name) == ("student.int8.xml", "student.int8.bin")
    assert 'element_type="i8"' in xml.read_text(encoding="utf-8")
    assert weights.stat().st_size < 0.3 * fp32.ByteSize()
    reference = run_crops(open_session(fp32, threads=1), others)
    assert cosines(reference, run_openvino(xml, others, threads=1)).min() > 0.98


def test_fp32_gives_the_same_in_openvino_as_in_onnx_runtime(fp32: ModelProto, others: Crops) -> None:
    reference = run_crops(open_session(fp32, threads=1), others)
    assert cosines(reference, run_openvino(fp32, others, threads=1, exact=True, batch=5)).min() > 0.99999


def test_the_same_crops_give_the_same_files_without_a_word(
    fp32: ModelProto, few: Crops, files: tuple[Path, Path], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    capfd.readouterr()
    again = openvino_int8(fp32, few, tmp_path / "again")
    assert capfd.readouterr() == ("", "")
    assert [path.read_bytes() for path in again] == [path.read_bytes() for path in files]
    assert "NNCF_CI" not in os.environ
    assert sorted(path.name for path in tmp_path.iterdir()) == ["again.bin", "again.xml"]


def test_a_file_that_openvino_does_not_read_is_named(tmp_path: Path, others: Crops) -> None:
    path = tmp_path / "broken.onnx"
    path.write_bytes(b"nothing of the kind")
    with pytest.raises(UserError, match=r"broken\.onnx: OpenVINO does not read it"):
        run_openvino(path, others)


def test_where_it_cannot_be_written_nothing_stays(fp32: ModelProto, few: Crops, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"cannot be written"):
        openvino_int8(fp32, few.take(slice(0, 2)), tmp_path / "nowhere" / "student")
    assert not list(tmp_path.iterdir())
