"""What is timed, in which order, by a clock of the test's own, and what is said of what is not."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from click.testing import CliRunner, Result
from small_export import small_source

from export.bench import run as bench_run
from export.bench import runners as bench_runners
from export.bench.run import files_of, run_bench, student_of
from export.bench.runners import Feeds, Input, NotRun, Runner, onnxruntime_runner, openvino_runner, torch_runner
from export.bench.table import Bench
from export.bench.timing import Latency, measure
from export.cli.bench import bench_command
from export.graph.image import image_graph
from export.precision.halve import to_half
from export.source import Source
from reid.errors import UserError

SIZE = Input(8, 4)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Source:
    return small_source(tmp_path_factory.mktemp("runs") / "student")


@pytest.fixture(scope="module")
def graphs(source: Source) -> Path:
    place = source.folder.parent / "onnx"
    place.mkdir()
    fp32 = image_graph(source)
    entry = fp32.metadata_props.add()
    entry.key, entry.value = bench_run.STUDENT_KEY, source.manifest.sha256
    onnx.save(fp32, place / "student.fp32.onnx")
    onnx.save(to_half(fp32, set(), "bf16"), place / "student.bf16.onnx")
    (place / "student.fp16.engine").write_bytes(b"plan")
    return place


class Clock:
    """Time that passes only when a runner works."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_rounds_are_interleaved_and_warm_up_is_not_counted() -> None:
    clock, order = Clock(), []

    def runner(name: str, *seconds: float) -> Runner:
        costs = iter(seconds)

        def run(feeds: Feeds) -> np.ndarray:
            order.append((name, len(feeds["pixels"])))
            clock.now += next(costs)
            return np.zeros((1, 1), np.float32)

        return Runner(name, "engine", SIZE, run)

    slow, fast = runner("slow", 90, 1, 3, 2, 90, 4, 4, 4), runner("fast", 90, 0.5, 0.5, 0.5, 90, 1, 1, 1)
    latencies, failed = measure([slow, fast], [1, 8], rounds=3, warmup=1, clock=clock)
    assert order == [(name, batch) for batch in (1, 8) for _ in range(4) for name in ("slow", "fast")]
    assert not failed
    assert [(x.graph, x.batch, x.median) for x in latencies] == [
        ("slow", 1, 2), ("fast", 1, 0.5), ("slow", 8, 4), ("fast", 8, 1),
    ]  # fmt: skip
    assert latencies[0].p99 == pytest.approx(np.percentile([1, 3, 2], 99))
    assert latencies[3].crops_per_second == 8


def test_what_fails_at_a_batch_is_told_and_the_others_go_on() -> None:
    def fails(feeds: Feeds) -> np.ndarray:
        if len(feeds["pixels"]) > 1:
            raise RuntimeError("out of\nmemory")
        return np.zeros((1, 1), np.float32)

    good = Runner("good", "engine", SIZE, lambda feeds: np.zeros((1, 1), np.float32))
    latencies, failed = measure([Runner("bad", "engine", SIZE, fails), good], [1, 2], rounds=1)
    assert [(x.graph, x.batch) for x in latencies] == [("bad", 1), ("good", 1), ("good", 2)]
    assert failed == [NotRun("bad", "engine", "batch 2 fails: out of memory")]


def test_ratios_are_to_torch_at_the_same_batch_or_to_the_first() -> None:
    rows = [
        Latency("b", "ONNX Runtime", 1, (1.0,)), Latency("a", "torch eager", 1, (2.0,)),
        Latency("b", "ONNX Runtime", 8, (3.0,)), Latency("a", "torch eager", 8, (12.0,)),
    ]  # fmt: skip
    bench = Bench(tuple(rows), (NotRun("c.engine", "TensorRT", "no GPU"),), 2, 1, "a machine")
    assert [bench.ratio(row) for row in rows] == [2, 1, 4, 1]
    text = str(bench)
    assert "2 threads in every engine" in text
    assert "ratio to a in torch eager" in text
    assert "not run: c.engine in TensorRT: no GPU" in text
    alone = Bench((rows[0], rows[2]), (), 2, 1, "a machine")
    assert [alone.ratio(row) for row in alone.latencies] == [1, 1]
    assert json.loads(json.dumps(bench.to_dict()))["rows"][2]["median_ms"] == 3000


def test_every_engine_gives_what_torch_gives(source: Source, graphs: Path) -> None:
    path = graphs / "student.fp32.onnx"
    reference = torch_runner(source)
    feeds = reference.input.feeds(3)
    wanted = reference.run(feeds)
    for runner in (onnxruntime_runner(path, 1), openvino_runner(path, 1)):
        assert isinstance(runner, Runner)
        assert runner.input == reference.input
        np.testing.assert_allclose(runner.run(feeds), wanted, rtol=1e-3, atol=1e-3 * np.abs(wanted).max())


def test_a_folder_is_timed_and_what_cannot_be_run_is_listed(source: Source, graphs: Path) -> None:
    bench = run_bench([graphs], source.folder, [2], threads=1, rounds=1)
    assert ("student", "torch eager") in {(x.graph, x.engine) for x in bench.latencies}
    assert ("student.fp32.onnx", "OpenVINO") in {(x.graph, x.engine) for x in bench.latencies}
    why = {(x.graph, x.engine): x.why for x in bench.not_run}
    assert why["student.fp16.engine", "TensorRT"] == "no GPU"
    assert "does not take the graph" in why["student.bf16.onnx", "ONNX Runtime"]


def test_without_openvino_that_is_said(graphs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench_runners, "find_spec", lambda name: None)
    found = openvino_runner(graphs / "student.fp32.onnx", 1)
    assert isinstance(found, NotRun)
    assert "pip install" in found.why


def test_the_student_is_the_one_that_the_graph_names(source: Source, graphs: Path, tmp_path: Path) -> None:
    root = source.folder.parent
    assert student_of([graphs], root) == source.folder
    assert student_of([graphs], tmp_path) is None


def call(*words: object) -> Result:
    return CliRunner().invoke(bench_command, [str(word) for word in words])


def test_the_command_prints_a_table_and_writes_json(source: Source, graphs: Path, tmp_path: Path) -> None:
    out = tmp_path / "bench.json"
    path = graphs / "student.fp32.onnx"
    result = call(path, "--student", source.folder, "--batch", "2,1", "--threads", 1, "--rounds", 1, "--out", out)
    assert result.exit_code == 0, result.output
    raw = json.loads(out.read_text())
    assert raw["threads"] == 1
    assert [row["batch"] for row in raw["rows"]] == [1, 1, 1, 2, 2, 2]
    assert {row["times_reference"] for row in raw["rows"] if row["engine"] == "torch eager"} == {1.0}


@pytest.mark.parametrize("batches", ["0", "1,x", "", "-1"])
def test_a_batch_that_is_none_is_refused(batches: str, graphs: Path) -> None:
    result = call(graphs, f"--batch={batches}")
    assert isinstance(result.exception, UserError)
    assert f"--batch {batches}" in str(result.exception)


def test_nothing_to_time_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"holds no student\.\*\.onnx"):
        files_of([tmp_path])
    with pytest.raises(UserError, match="is not there"):
        files_of([tmp_path / "nowhere.onnx"])
    assert isinstance(call().exception, UserError)


def test_graphs_of_other_sizes_are_not_timed_beside_each_other(graphs: Path, tmp_path: Path) -> None:
    other = small_source(tmp_path / "student", height=64, width=64)
    with pytest.raises(UserError, match="images of different sizes"):
        run_bench([graphs / "student.fp32.onnx"], other.folder, [1], threads=1, rounds=1)
