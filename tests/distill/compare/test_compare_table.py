"""Plans and tables of a comparison: what is run, what is alike, and the statistics of a few seeds."""

from __future__ import annotations

import statistics
from math import isnan, sqrt
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy.stats import ttest_ind

from distill.compare.outcome import Outcome
from distill.compare.plan import differences, plan
from distill.compare.table import CROSS_MODAL, Spread, describe, distance, rows, spreads
from reid.errors import UserError

SCORES = st.lists(st.integers(0, 1000).map(lambda n: n / 10), min_size=2, max_size=6)


def outcome(recipe: str, seed: int, ir: float, sketch: float, seconds: float | None = 60.0) -> Outcome:
    teacher = {"rgb": 80.0, "ir": 60.0, "sketch": 50.0}
    deployed = {"rgb": 70.0, "ir": ir, "sketch": sketch}
    across = (ir + sketch) / 2
    return Outcome(recipe, seed, "sha", 16, "rgb", deployed, None, across, {"teacher": teacher}, seconds)


def test_all_recipes_have_a_seed_before_the_next_one_begins(tmp_path: Path) -> None:
    entries = plan(["adaptive-svd", "mse"], 2, ["training.epochs=[7]"], tmp_path)
    assert [entry.label for entry in entries] == ["adaptive-svd-0", "mse-0", "adaptive-svd-1", "mse-1"]
    for entry in entries:
        assert entry.place == tmp_path / entry.label
        assert entry.recipe.training.epochs == (7,)
        assert entry.recipe.training.seed == entry.recipe.spectrum.seed == entry.seed
    assert not differences(entries)


def test_what_else_differs_than_the_method_is_told_once(tmp_path: Path) -> None:
    longer = tmp_path / "longer.yaml"
    longer.write_text("extends: mse\nname: longer\ntraining: {epochs: [99]}\nsampling: {people: 3}\n")
    entries = plan(["adaptive-svd", "mse", str(longer)], 2, [], tmp_path)
    assert differences(entries) == ["longer differs from adaptive-svd in sampling, training too"]


def test_a_plan_that_cannot_be_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="two recipes are called 'mse'"):
        plan(["mse", "cosine", "mse"], 1, [], tmp_path)
    with pytest.raises(UserError, match="--seeds"):
        plan(["mse"], 1, ["training.seed=3"], tmp_path)
    with pytest.raises(UserError, match="did you mean cosine"):
        plan(["mse", "cosin"], 1, [], tmp_path)


@given(SCORES)
def test_a_spread_is_the_samples_mean_and_standard_deviation(values: list[float]) -> None:
    found = Spread.of(values)
    assert found.mean == pytest.approx(statistics.fmean(values))
    assert found.std == pytest.approx(statistics.stdev(values), abs=1e-9)


def test_of_one_seed_no_deviation_is_known() -> None:
    assert str(Spread.of([12.34])) == "12.3"
    assert str(Spread.of([])) == "-"
    assert str(Spread.of([1.0, 2.0, 3.0])) == "2.0 ± 1.0"
    assert isnan(distance(Spread.of([1.0]), Spread.of([2.0, 3.0])))
    assert isnan(distance(Spread.of([1.0, 1.0]), Spread.of([2.0, 2.0])))


@given(SCORES, SCORES)
def test_the_distance_is_students_t_without_the_numbers_of_seeds(ours: list[float], theirs: list[float]) -> None:
    # SciPy warns where one side is constant.
    assume(len(set(ours)) > 1 and len(set(theirs)) > 1)
    found = distance(Spread.of(ours), Spread.of(theirs))
    t = float(ttest_ind(theirs, ours).statistic)
    assert found == pytest.approx(t * sqrt(1 / len(ours) + 1 / len(theirs)), rel=1e-6, abs=1e-9)


def test_the_table_has_the_teacher_then_every_recipe_against_the_first() -> None:
    outcomes = [outcome("ours", seed, 50 + seed, 40 + seed) for seed in range(3)]
    outcomes += [outcome("theirs", seed, 44 + seed, 34 + seed, None if seed else 30.0) for seed in range(3)]
    found = rows(outcomes)
    assert [row["recipe"] for row in found] == ["(teacher)", "ours", "theirs"]
    assert [row[CROSS_MODAL] for row in found] == ["55.0", "46.0 ± 1.0", "40.0 ± 1.0"]
    assert [row["to ours"] for row in found] == ["", "", "-6.0 (-6.0 sd)"]
    assert [row["ir"] for row in found] == ["60.0", "51.0 ± 1.0", "45.0 ± 1.0"]
    assert [row["seconds"] for row in found] == ["", "60", "30"]
    assert spreads(outcomes)["theirs"]["seconds"].count == 1
    assert "not interrupted" in describe(outcomes)


def test_with_one_seed_there_is_a_difference_and_no_deviation() -> None:
    found = rows([outcome("ours", 0, 50, 40), outcome("theirs", 0, 52, 41)])
    assert (found[1][CROSS_MODAL], found[2]["to ours"]) == ("45.0", "+1.5")
