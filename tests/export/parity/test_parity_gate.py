"""Students that float16 breaks: the naive half is caught, ours passes or says which bar it misses, and why."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from outlier_students import outlier_source

from export.crops import Crops, synthetic_crops
from export.graph.image import image_graph
from export.parity.bars import BARS, Bars, judge
from export.parity.gate import Attempt, Gate, compare_crops, passing_fp32, passing_half, passing_int8
from export.parity.gated import BelowTheBarError, Gated
from export.parity.measure import Parity
from export.parity.reference import reference_embeddings
from export.parity.report import read_report, report_text, write_report
from export.parity.retrieval import PairScores, Retrieval, Score
from export.precision.halve import to_half
from export.precision.typed import TypedEvaluator
from export.session import open_session, run_crops
from export.source import Source
from reid.errors import UserError
from reid.modality import Modality


class Case:
    """A student, its graph and crops."""

    def __init__(self, source: Source) -> None:
        self.source, self.fp32 = source, image_graph(source)
        self.calibration = synthetic_crops(source.preprocessing, 3, 0)
        self.check = synthetic_crops(source.preprocessing, 4, 1)

    def parity(self, model: onnx.ModelProto) -> Parity:
        found = TypedEvaluator(model, threads=1).run(self.check)
        return compare_crops(reference_embeddings(self.source, self.check), found, self.check)

    def half(self, **options: object) -> Gated:
        return passing_half(self.fp32, self.source, self.calibration, self.check, threads=1, **options)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Case:
    return Case(outlier_source(tmp_path_factory.mktemp("plain") / "student"))


@pytest.fixture(scope="module")
def hot(tmp_path_factory: pytest.TempPathFactory) -> Case:
    return Case(outlier_source(tmp_path_factory.mktemp("hot") / "student", hot=(0, 2, 4)))


@pytest.fixture(scope="module")
def massive(tmp_path_factory: pytest.TempPathFactory) -> Case:
    return Case(outlier_source(tmp_path_factory.mktemp("massive") / "student", hot=(0,), massive=True))


def halved_in_torch(source: Source, check: Crops) -> np.ndarray:
    """What `.half()` makes of crops: the whole student in float16, computed by torch in float16."""
    student = copy.deepcopy(source.student).half()
    pixels = torch.from_numpy(source.preprocessing.normalise(check.pixels)).half()
    with torch.inference_mode():
        return student(pixels, torch.from_numpy(check.codes)).float().numpy()


@pytest.mark.parametrize("which", ["hot", "massive"])
def test_a_naive_half_of_a_student_with_outliers_is_caught(which: str, request: pytest.FixtureRequest) -> None:
    case: Case = request.getfixturevalue(which)
    found = halved_in_torch(case.source, case.check)
    parity = compare_crops(reference_embeddings(case.source, case.check), found, case.check)
    assert parity.nonfinite_rows > 0
    assert "NaN or infinite" in judge(parity, None, BARS["fp16"])[0]


def test_a_residual_beyond_float16_overflows_in_the_typed_evaluation_and_not_in_onnx_runtime(massive: Case) -> None:
    naive = to_half(massive.fp32, set())
    assert massive.parity(naive).nonfinite_rows > 0
    assert np.isfinite(run_crops(open_session(massive.fp32, threads=1), massive.check)).all()


def test_with_a_residual_beyond_float16_ours_passes(massive: Case) -> None:
    gated = massive.half()
    assert gated.passed
    assert gated.parity.finite
    assert gated.parity.cosine_min >= 0.999
    assert gated.bytes < 0.7 * massive.fp32.ByteSize()
    # The proof holds for the graph that is given, not for another.
    assert massive.parity(gated.model).to_dict() == gated.parity.to_dict()
    assert "fp16: passes" in report_text([gated], massive.check)


def test_with_hot_norms_ours_has_no_nan_and_passes_or_says_which_bar_it_misses_and_why(hot: Case) -> None:
    gated = hot.half(allow_drift=True)
    assert gated.parity.finite
    text = report_text([gated], hot.check)
    if gated.passed:
        assert gated.parity.cosine_min >= 0.999
        assert "fp16: passes" in text
        return
    assert "MISSES ITS BAR" in text
    assert "expected at least 0.999" in text
    assert gated.departure
    assert gated.departure in text
    assert "weights rounded to fp16" in text
    with pytest.raises(BelowTheBarError, match=r"fp16 misses its bar: cosine min .*--allow-drift") as error:
        hot.half()
    assert gated.departure in str(error.value)


def test_below_the_bar_more_and_more_is_kept_and_the_cost_is_told(hot: Case) -> None:
    lines: list[str] = []
    gated = hot.half(bars=Bars("fp16", cosine_min=1.1), allow_drift=True, say=lines.append)
    assert not gated.passed
    assert len(gated.steps) == len(lines) > 2
    for mended in (True, False):
        kept = [step.kept for step in gated.steps if ("and up to" in step.what) == mended]
        assert len(kept) > 1
        assert kept == sorted(set(kept))
    assert gated.steps[-1].bytes > gated.steps[0].bytes
    assert "costs" in report_text([gated], hot.check)
    best = max(step.parity.cosine_min for step in gated.steps if step.parity.finite)
    assert gated.parity.cosine_min == best


def test_a_student_without_outliers_passes_at_once(plain: Case) -> None:
    gated = plain.half()
    assert gated.passed
    assert len(gated.steps) == 1
    assert gated.bytes < 0.6 * plain.fp32.ByteSize()
    assert not gated.departure
    assert "passes" in gated.sentence()


def test_bf16_has_bars_of_its_own(plain: Case) -> None:
    gated = plain.half(dtype="bf16", allow_drift=True)
    assert gated.bars == BARS["bf16"]
    assert any("mAP" in note for note in gated.notes)
    assert gated.parity.cosine_min == plain.parity(gated.model).cosine_min


def test_the_fp32_graph_is_the_student(plain: Case) -> None:
    gated = passing_fp32(plain.fp32, plain.source, plain.check, threads=1)
    assert gated.passed
    assert gated.parity.cosine_min >= 0.99999


def test_a_graph_of_another_student_is_not_let_through(plain: Case, massive: Case) -> None:
    with pytest.raises(BelowTheBarError, match="fp32 misses its bar"):
        passing_fp32(massive.fp32, plain.source, plain.check, threads=1)


def test_int8_passes_or_leaves_layers_out_until_it_does(plain: Case) -> None:
    bars = Bars("int8", cosine_mean=0.9995)
    gated = passing_int8(
        plain.fp32, plain.source, plain.calibration, plain.check, bars=bars, allow_drift=True, threads=1
    )
    assert set(gated.kept) == set(gated.details["kept"])
    if gated.passed:
        assert gated.parity.cosine_mean >= 0.9995
        assert any(node.op_type == "QuantizeLinear" for node in gated.model.graph.node)
        assert plain.parity(gated.model).cosine_mean == gated.parity.cosine_mean
    else:
        assert gated.missed


def test_a_graph_that_passed_is_not_given_up_for_one_with_a_better_cosine_that_loses_more(plain: Case) -> None:
    """int8 goes on to search below a graph that passes; the bar on mAP may fail one whose cosine is greater."""

    class Task:
        """Loses nothing the first time, and ten points from then on."""

        lost = iter([0.0, 10.0])

        def score(self, embed: object) -> Retrieval:
            score, other = Score(50, 50), Score(50 - next(self.lost), 50)
            return Retrieval((PairScores(Modality.RGB, Modality.RGB, 1, 1, score, other, other),))

    bars = Bars("int8", cosine_mean=0.9, lost_map=0.5)
    reference = reference_embeddings(plain.source, plain.check)
    gate = Gate(plain.fp32, reference, plain.check, bars, Task(), lambda line: None, 1)  # type: ignore[arg-type]
    assert gate.passes(Attempt("half", to_half(plain.fp32), ()))
    assert not gate.passes(Attempt("nearer", plain.fp32, ()))
    assert gate.result().passed


def test_int8_in_which_nothing_is_int8_is_no_int8(plain: Case) -> None:
    bars = Bars("int8", cosine_mean=1 - 1e-10)
    with pytest.raises(BelowTheBarError, match=r"int8 misses its bar: .* nothing is int8"):
        passing_int8(plain.fp32, plain.source, plain.calibration, plain.check, bars=bars, threads=1)


def test_the_report_is_written_whole_and_read_again(plain: Case, tmp_path: Path) -> None:
    gated = plain.half()
    text, data = write_report(tmp_path, [gated], plain.check, student="vit-micro")
    raw = read_report(data)
    assert raw["student"] == "vit-micro"
    assert raw["check"]["images"] == len(plain.check)
    assert Parity.from_dict(raw["precisions"]["fp16"]["parity"], str(data)) == gated.parity
    assert "== fp16: passes ==" in text.read_text()
    data.write_text(json.dumps({**raw, "schema": 99}))
    with pytest.raises(UserError, match="schema 99"):
        read_report(data)


def test_autocast_goes_through_the_same_gate(massive: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    """Model Optimizer is not installed here: our own converter, without ranges and then with all kept, stands in."""
    asked: list[float] = []

    def autocast(model: onnx.ModelProto, crops: Crops, *, limit: float, dtype: str) -> onnx.ModelProto:
        asked.append(limit)
        block = {node.name for node in model.graph.node if node.op_type in ("LayerNormalization", "Add")}
        half: Gated = massive.half()
        return half.model if limit < 512 else to_half(model, block - set(half.kept))

    monkeypatch.setattr("export.precision.autocast.autocast", autocast)
    gated = massive.half(backend="autocast")
    assert gated.passed
    assert asked == [512, 64]
    assert [step.parity.finite for step in gated.steps] == [False, True]
    assert "infinite or not a number" in gated.departure


def test_a_backend_that_there_is_not_is_refused(plain: Case) -> None:
    with pytest.raises(UserError, match="magic"):
        plain.half(backend="magic")
