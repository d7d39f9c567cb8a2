"""The examples run as they stand, on a short film of people who walk past where there is no camera."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edge_runtime.gallery import Gallery

EXAMPLES = Path(__file__).parents[3] / "examples"
FRAMES = 12


def run(script: str, *words: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "XDG_CACHE_HOME": str(cwd)}
    return subprocess.run(
        [sys.executable, str(EXAMPLES / script), *map(str, words)],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=cwd,
        env=environment,
    )


@pytest.fixture(scope="module")
def film(people: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """frames/ in which p0000 and p0001 of the staff walk past, boxes.jsonl, and a detector that knows them."""
    root = tmp_path_factory.mktemp("film")
    (root / "frames").mkdir()
    walkers = [Image.open(people / "staff" / name / "c1.png").convert("RGB") for name in ("p0000", "p0001")]
    lines = []
    for number in range(FRAMES):
        frame = Image.new("RGB", (400, 160), (120, 125, 130))
        boxes = []
        for place, walker in enumerate(walkers):
            left = 10 + 200 * place + 8 * number
            frame.paste(walker, (left, 30))
            boxes.append({"box": [left, 30, walker.width, walker.height], "track": str(place)})
        frame.save(root / "frames" / f"{number:04}.png")
        lines.append(json.dumps({"frame": number, "boxes": boxes}) + "\n")
    (root / "boxes.jsonl").write_text("".join(lines))
    (root / "detector.py").write_text(
        "import base64, io, json, sys\nfrom PIL import Image\n"
        f"lines = open({str(root / 'boxes.jsonl')!r}).read().splitlines()\n"
        "for line in sys.stdin:\n"
        "    asked = json.loads(line)\n"
        "    assert Image.open(io.BytesIO(base64.b64decode(asked['data']))).size == (400, 160)\n"
        "    print(lines[asked['frame']], flush=True)\n"
    )
    return root


@pytest.fixture(scope="module")
def enrolled(bundle: Path, people: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A gallery that the first example made of the staff."""
    root = tmp_path_factory.mktemp("enrolled")
    done = run("enrol_folder.py", "--bundle", bundle, "--gallery", "g.db", people / "staff", cwd=root)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0] == "p0000: 2 pictures in 1 row, 0 skipped"
    assert done.stdout.splitlines()[-1] == "g.db: 6 rows of 6 people"
    return root / "g.db"


@pytest.mark.parametrize("live", [False, True])
def test_people_are_followed_and_named(live: bool, film: Path, bundle: Path, people: Path, tmp_path: Path) -> None:
    done = run(
        "enrol_folder.py", "--bundle", bundle, "--gallery", "g.db", people / "staff", "--camera", "photo", cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    source = ["--detector", f"{sys.executable} {film / 'detector.py'}"] if live else ["--boxes", film / "boxes.jsonl"]
    words = ["--bundle", bundle, "--gallery", "g.db", "--source", film / "frames", *source, "--camera", "hall"]
    done = run("follow_stream.py", *words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    last = dict(re.findall(r"track (\d): (\S+) \(", done.stdout))
    assert set(last) == {"0", "1"}
    assert done.stdout.splitlines()[-1] == "g.db: 6 rows"


def test_strangers_are_enrolled_once_and_seen_again(film: Path, bundle: Path, tmp_path: Path) -> None:
    words = [
        "--bundle", bundle, "--gallery", "g.db", "--source", film / "frames", "--boxes", film / "boxes.jsonl",
        "--threshold", 0.99,
    ]  # fmt: skip
    done = run("follow_stream.py", *words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("has ended and is enrolled as unknown") == 2
    with Gallery.open(tmp_path / "g.db", read_only=True) as opened:
        rows = opened.rows(opened.ids())
    assert [(row.person_id, row.metadata["track"], row.metadata["crops"]) for row in rows] == [
        (None, "0", 8),
        (None, "1", 8),
    ]
    done = run("follow_stream.py", *words, cwd=tmp_path)
    assert done.stdout.splitlines()[:2] == [
        next(line for line in done.stdout.splitlines() if line.startswith("track 0: unknown, seen before as row 1")),
        next(line for line in done.stdout.splitlines() if line.startswith("track 1: unknown, seen before as row 2")),
    ]
    assert done.stdout.splitlines()[-1] == "g.db: 2 rows"


def test_a_source_that_cannot_be_opened_is_one_line(film: Path, bundle: Path, tmp_path: Path) -> None:
    words = ["--bundle", bundle, "--gallery", "g.db", "--boxes", film / "boxes.jsonl", "--source", "none.mp4"]
    done = run("follow_stream.py", *words, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("error: --source none.mp4: ")


def test_a_sentence_is_answered_with_a_picture(enrolled: Path, bundle: Path, tmp_path: Path) -> None:
    words = ["--bundle", bundle, "--gallery", enrolled, "a man in a red coat", "--show", "answer.png"]
    done = run("answer_sentence.py", *words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert [line.split()[0] for line in done.stdout.splitlines()[:5]] == ["1", "2", "3", "4", "5"]
    assert np.asarray(Image.open(tmp_path / "answer.png")).std() > 20
