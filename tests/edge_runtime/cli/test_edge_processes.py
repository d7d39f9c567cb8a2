"""The commands as processes: what they load, what they say where they fail, and a kill in the middle of a stream."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from edge_runtime.gallery import Gallery

HEAVY = (
    "torch",
    "transformers",
    "onnx",
    "onnxscript",
    "scipy",
    "sklearn",
    "matplotlib",
    "pydantic",
    "teacher",
    "student",
)
DEADLINE = 120

_ROAD = """
import json, sys
from edge_runtime.cli import command
bundle, staff, crop = sys.argv[1:]
on = ["--bundle", bundle, "--threads", "1", "--engine", "onnxruntime"]
quick = ["--rounds", "1", "--seconds", "0.01", "--most-threads", "1"]
for words in (
    ["info", bundle], ["build", bundle, "--engine", "onnxruntime"], ["embed", crop, "--out", "e.npz", *on],
    ["embed", "--text", "a man", "--json", "--bundle", bundle],
    ["enroll", "g.db", staff, *on], ["enroll", "g.db", "--boxes", "b.jsonl", *on],
    ["search", "g.db", crop, "--show", "s.png", "--rerank", "5", "--centre", *on],
    ["search", "g.db", "--text", "a man", "--bundle", bundle], ["gallery", "people", "g.db"],
    ["gallery", "export", "x.jsonl", "--gallery", "g.db"], ["gallery", "backup", "b.db", "--gallery", "g.db"],
    ["bench", "g.db", *quick, *on], ["verify", bundle, "g.db"], ["doctor", "--gallery", "g.db"], ["info"],
):
    try:
        command.main(words, standalone_mode=False, prog_name="edge")
    except SystemExit as stopped:
        assert stopped.code in (0, 1), words
print(json.dumps(sorted({name.partition(".")[0] for name in sys.modules})))
"""


def run(*words: object, cwd: Path, **options: Any) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "120", "XDG_CACHE_HOME": str(cwd)}
    return subprocess.run(
        [sys.executable, *map(str, words)], capture_output=True, text=True, timeout=DEADLINE, cwd=cwd, env=environment,
        **options,
    )  # fmt: skip


def test_the_whole_road_loads_nothing_of_the_cloud(bundle: Path, people: Path, tmp_path: Path) -> None:
    crop = people / "staff" / "p0000" / "c1.png"
    (tmp_path / "b.jsonl").write_text(json.dumps({"image": str(crop)}) + "\n")
    done = run("-c", _ROAD, bundle, people / "staff", crop, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    loaded = set(json.loads(done.stdout.splitlines()[-1]))
    assert not loaded & set(HEAVY)
    assert "onnxruntime" in loaded


def test_help_of_every_command_needs_no_engine_and_no_index(tmp_path: Path) -> None:
    script = (
        "import sys\nfrom edge_runtime.cli import command\n"
        "names = list(command.lazy)\n"
        "for words in ([], *([name] for name in names)):\n"
        "    command.main([*words, '--help'], standalone_mode=False)\n"
        "print(len(names) + 1, *sorted({'onnxruntime', 'faiss', 'openvino', 'tokenizers', 'torch'} & set(sys.modules)))"
    )
    done = run("-c", script, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("Usage: ") == int(done.stdout.splitlines()[-1])


def test_a_process_says_one_line_and_no_traceback(bundle: Path, tmp_path: Path) -> None:
    done = run("-m", "edge_runtime", "search", "none.db", "x.png", "--bundle", bundle, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "error: none.db: no such gallery; enrol into it first or name another\n"
    done = run("-m", "reid", "edge", "search", "--nonsense", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1] == "try: reid edge search --help"


@pytest.mark.parametrize("rounds", [3])
def test_what_a_killed_stream_has_enrolled_is_there(rounds: int, bundle: Path, people: Path, tmp_path: Path) -> None:
    crop = people / "staff" / "p0000" / "c1.png"
    words = [sys.executable, "-m", "edge_runtime", "enroll", "g.db", "--boxes", "-", "--bundle", str(bundle)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    seen = 0
    for _ in range(rounds):
        child = subprocess.Popen(
            [*words, "--threads", "1", "--engine", "onnxruntime", "--skip-broken"], stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, cwd=tmp_path, env=environment, text=True,
        )  # fmt: skip
        assert child.stdin is not None
        assert child.stderr is not None
        for _ in range(2):
            child.stdin.write(json.dumps({"image": str(crop)}) + "\n")
        # A line that cannot be read is answered at once, so what came before it has been committed.
        child.stdin.write("{\n")
        child.stdin.flush()
        for line in child.stderr:
            if line.startswith("skipped: "):
                break
        child.kill()
        child.wait(DEADLINE)
        child.stdin.close()
        child.stderr.close()
        seen += 2
        with Gallery.open(tmp_path / "g.db") as opened:
            assert opened.count == seen
            assert opened.verify() == []
