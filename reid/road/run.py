"""Going down a road: what is there already is passed, what is missing is made by its command."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

from reid.errors import UserError
from reid.road.recipe import Road, Stage
from reid.road.state import State

Say = Callable[[str], None]


@dataclass(frozen=True)
class Passed:
    """What became of a stage: whether it was there already, and the seconds that it took."""

    stage: Stage
    there: bool
    seconds: float = 0.0


def travel(
    road: Road, *, first: str | None = None, last: str | None = None, dry: bool = False, say: Say = print
) -> list[Passed]:
    """Make what is missing, stage by stage, each by its own process.

    Args:
        road: where to go.
        first: make this stage anew, and with it all that read what it makes. last: stop after this one.
        dry: say what would be done, and do nothing.
        say: prints a line.

    Returns:
        What became of each stage.

    Raises:
        UserError: a stage fails, or something lies in its place that no stage of this road made.
    """
    state = State(road)
    anew = None if first is None else road.index(first)
    end = len(road.stages) if last is None else road.index(last) + 1
    remade: set[str] = set()
    passed = []
    for number, stage in enumerate(road.stages[:end], 1):
        forced = anew is not None and number - 1 >= anew
        if not forced and not remade & set(stage.needs) and state.done(stage):
            say(f"[{number}/{end}] {stage.name}: there already, {stage.makes}")
            passed.append(Passed(stage, True))
            continue
        remade.add(stage.name)
        why = "asked for anew" if forced else state.why_stale(stage) or "missing"
        say(f"[{number}/{end}] {stage.name}: {stage.about or stage.makes} ({why})")
        say(f"$ {stage.command}")
        if not dry:
            start = time.perf_counter()
            _make(stage, state)
            passed.append(Passed(stage, False, time.perf_counter() - start))
    return passed


def _make(stage: Stage, state: State) -> None:
    if state.read(stage) is not None:
        # Ours, and not what it should be. What a training keeps beside its product stays, for it goes on from there.
        state.forget(stage)
    elif stage.makes.exists():
        raise UserError(
            f"{stage.makes}: is there, and was not made by this road; remove it, or choose another folder with --out"
        )
    stage.makes.parent.mkdir(parents=True, exist_ok=True)
    state.begin(stage)
    done = subprocess.run([sys.executable, "-m", stage.module, *stage.words[1:]], check=False)
    if done.returncode == 130 or done.returncode < 0:
        raise KeyboardInterrupt
    if done.returncode:
        raise UserError(
            f"stage {stage.name} failed with exit code {done.returncode}; its own words are above; the same command "
            "goes on from here"
        )
    if not state.finish(stage):
        raise UserError(f"stage {stage.name} ended well and left nothing at {stage.makes}; check 'makes' in the road")
