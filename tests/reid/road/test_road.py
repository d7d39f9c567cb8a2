"""`reid run` with real commands, killed and changed half-way."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from reid.errors import UserError
from reid.road.recipe import read_road
from reid.road.run import travel

ROAD = """
name: small
folder: road
values: {people: 4, seed: 0}
stages:
  people:
    run: reid data synth {out} --people {people} --cameras 2 --seed {seed}
    makes: people
    about: people that never existed
  colour:
    run: reid baseline {stage.people} --kind colour --out {out}
    makes: colour
  scores:
    run: reid evaluate {stage.colour} --all --save {out}
    makes: scores.json
"""


@pytest.fixture
def road(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "road.yaml"
    path.write_text(ROAD)
    return path


def made(path: Path, *changes: str, first: str | None = None, last: str | None = None) -> list[str]:
    """Names of the stages that were made."""
    passed = travel(read_road(path, changes), first=first, last=last, say=lambda line: None)
    return [p.stage.name for p in passed if not p.there]


def test_it_makes_what_is_missing_and_only_that(road: Path, tmp_path: Path) -> None:
    assert made(road) == ["people", "colour", "scores"]
    assert json.loads((tmp_path / "road" / "scores.json").read_text())
    assert made(road) == []
    (tmp_path / "road" / "scores.json").unlink()
    assert made(road) == ["scores"]


def test_a_changed_command_and_all_that_read_its_product_are_made_anew(road: Path) -> None:
    made(road)
    assert made(road, "seed=1") == ["people", "colour", "scores"]
    assert made(road, "seed=1") == []
    road.write_text(ROAD.replace("--kind colour", "--kind random"))
    assert made(road, "seed=1") == ["colour", "scores"]


def test_a_product_that_somebody_changed_is_made_anew(road: Path, tmp_path: Path) -> None:
    made(road)
    scores = tmp_path / "road" / "scores.json"
    scores.write_text("{}")
    assert made(road) == ["scores"]
    assert scores.read_text() != "{}"


def test_from_and_until(road: Path) -> None:
    assert made(road, last="people") == ["people"]
    assert made(road) == ["colour", "scores"]
    assert made(road, first="colour") == ["colour", "scores"]


def test_a_dry_run_says_the_commands_and_does_nothing(road: Path, tmp_path: Path) -> None:
    lines: list[str] = []
    assert travel(read_road(road), dry=True, say=lines.append) == []
    assert "$ reid data synth road/people --people 4 --cameras 2 --seed 0" in lines
    assert not (tmp_path / "road").exists()


def test_what_it_did_not_make_is_never_removed(road: Path, tmp_path: Path) -> None:
    mine = tmp_path / "road" / "people" / "mine.txt"
    mine.parent.mkdir(parents=True)
    mine.write_text("mine")
    with pytest.raises(UserError, match="was not made by this road"):
        made(road)
    assert mine.read_text() == "mine"


def test_a_stage_that_fails_ends_the_road_and_is_tried_again(road: Path, capfd: pytest.CaptureFixture[str]) -> None:
    road.write_text(ROAD.replace("--kind colour", "--kind nonsense"))
    with pytest.raises(UserError, match=r"stage colour failed with exit code 2; .*the same command goes on"):
        made(road)
    assert "nonsense" in capfd.readouterr().err
    road.write_text(ROAD)
    assert made(road) == ["colour", "scores"]


@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGINT])
def test_killed_in_a_stage_it_goes_on(road: Path, tmp_path: Path, sent: signal.Signals) -> None:
    """The road and its stage are killed together while the stage runs, as when a machine goes down."""
    text = ROAD.replace("{people: 4", "{people: 400")
    road.write_text(text)
    child = subprocess.Popen(
        [sys.executable, "-m", "reid", "run", str(road)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        start_new_session=True,
    )  # fmt: skip
    assert child.stdout is not None
    # The command of the first stage is printed, and then it runs for seconds.
    while "data synth" not in child.stdout.readline():
        pass
    os.killpg(child.pid, sent)
    child.communicate()
    assert child.returncode in (-signal.SIGKILL, 130, -signal.SIGINT)
    road.write_text(ROAD)
    assert made(road) == ["people", "colour", "scores"]


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("makes: people", "mkes: people", "stage people: unknown key 'mkes'; did you mean makes?"),
        ("{stage.colour}", "{stage.color}", r"stage scores: reads \{stage.color\}; did you mean colour\? before it"),
        ("{people} --cameras", "{peple} --cameras", r"nothing fills \{peple\}; did you mean people\?"),
        ("run: reid baseline", "run: rm -r", "'rm' is not a command of this project"),
        ("makes: colour", "makes: ../colour", "leaves the road's folder"),
        ("stages:", "steps:", "unknown key 'steps'; did you mean stages?"),
    ],
)
def test_a_road_that_does_not_read_is_refused_by_the_place(road: Path, old: str, new: str, told: str) -> None:
    road.write_text(ROAD.replace(old, new))
    with pytest.raises(UserError, match=told.replace("?", r"\?") if "\\" not in told else told):
        read_road(road)


def test_an_unknown_value_or_stage_is_named(road: Path) -> None:
    with pytest.raises(UserError, match=r"--set sed=1: expected NAME=VALUE; did you mean seed\?"):
        read_road(road, ["sed=1"])
    with pytest.raises(UserError, match=r"stage 'colours': not in this road; did you mean colour\?"):
        made(road, first="colours")
