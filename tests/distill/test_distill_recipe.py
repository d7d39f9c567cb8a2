"""The distiller's recipes: shipped, written and read again, changed by `--set`, refused in one line; and their list."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from distill.cli.list import list_command
from distill.recipe import check_recipe, dump_recipe, list_recipes, load_recipe
from distill.settings import DistillRecipe, Objective, Spectrum
from recipes import distill as shipped_folder
from reid.errors import UserError
from student.zoo import ZOO
from teacher.recipe import list_recipes as list_teacher_recipes
from teacher.recipe import load_recipe as load_teacher_recipe

OURS = ("pcm", "relation", "id", "triplet", "cosine")
"""Terms of adaptive-svd."""
RIVALS = sorted(set(list_recipes()) - {"adaptive-svd", "adaptive-svd-views"})
WHOLE = ["channel-svd", "cosine", "crd", "mse", "phi-s", "vkd"]
"""Those whose student has as many outputs as the teacher."""


def refused(name: str, *changes: str) -> str:
    with pytest.raises(UserError) as error:
        load_recipe(name, changes)
    assert "\n" not in str(error.value)
    return str(error.value)


def write(path: Path, text: str) -> str:
    path.write_text(text, encoding="utf-8")
    return str(path)


def keys(raw: dict[str, Any], parent: tuple[str, ...] = ()) -> Iterator[str]:
    for key, value in raw.items():
        yield ".".join((*parent, key))
        if isinstance(value, dict):
            yield from keys(value, (*parent, key))


def test_every_shipped_recipe_loads_by_its_name() -> None:
    shipped = sorted(path.stem for path in Path(str(shipped_folder.__file__)).parent.glob("*.yaml"))
    assert list_recipes() == shipped
    assert [load_recipe(name).name for name in shipped] == shipped
    assert {"adaptive-svd", "adaptive-svd-views", "pca-mse", "random-projection", "rkd", "sp", "task", *WHOLE} == set(
        shipped
    )


def test_the_default_is_our_own_method() -> None:
    assert load_recipe() == load_recipe("adaptive-svd")
    assert load_recipe().objective.weighted == OURS


@pytest.mark.parametrize("name", RIVALS)
def test_rivals_differ_in_what_is_aimed_at_and_by_what_and_in_nothing_else(name: str) -> None:
    rival, ours = load_recipe(name), load_recipe("adaptive-svd")
    differing = {key for key in type(ours).model_fields if getattr(rival, key) != getattr(ours, key)}
    assert differing - {"name", "spectrum", "student"} == {"objective"}
    assert rival.spectrum.rank == "auto"
    assert rival.student.model_copy(update={"head": "linear"}) == ours.student
    assert (rival.spectrum.basis in ("full", "phi-s")) == (name in WHOLE)


def test_the_published_stages_follow_each_other() -> None:
    objective = load_recipe("channel-svd").objective
    at = {share: {n: getattr(objective, n).at(share) for n in objective.weighted} for share in (0.0, 0.5, 0.501, 1.0)}
    stage_a = {"mse": 0.15, "channel": 0.25, "batch_svd": 0.30, "cosine": 0.30, "id": 0.0, "triplet": 0.0}
    stage_b = {"mse": 0.0, "channel": 0.50, "batch_svd": 0.49, "cosine": 0.0, "id": 0.01, "triplet": 0.01}
    assert at == {0.0: stage_a, 0.5: stage_a, 0.501: stage_b, 1.0: stage_b}


@pytest.mark.parametrize("name", list_recipes())
def test_a_shipped_recipe_survives_being_written(tmp_path: Path, name: str) -> None:
    recipe = load_recipe(name)
    assert load_recipe(write(tmp_path / "recipe.yaml", dump_recipe(recipe))) == recipe


def test_a_recipe_of_ones_own_builds_on_a_shipped_one(tmp_path: Path) -> None:
    base = write(tmp_path / "base.yaml", "extends: pca-mse\nname: base\nspectrum: {rank: 24}\n")
    mine = load_recipe(
        write(tmp_path / "mine.yaml", f"extends: {base}\nname: mine\ntraining: {{seed: 2}}\n"), ["training.lr=0.01"]
    )
    assert (mine.name, mine.spectrum.rank, mine.training.seed, mine.training.lr) == ("mine", 24, 2, 0.01)
    assert mine.objective == load_recipe("pca-mse").objective


def test_the_two_kinds_of_recipes_do_not_mix() -> None:
    assert not set(list_recipes()) & set(list_teacher_recipes())
    assert refused("mllmembed").startswith("recipe 'mllmembed' is not known;")
    with pytest.raises(UserError, match="recipe 'adaptive-svd' is not known"):
        load_teacher_recipe("adaptive-svd")


@pytest.mark.parametrize(
    ("change", "key", "value"),
    [
        ("spectrum.rank=16", "rank", 16),
        ("spectrum.rank='16'", "rank", 16),
        ("spectrum.rank=energy:0.95", "rank", "energy:0.95"),
        ("spectrum.basis=between", "basis", "between"),
        ("spectrum.centre=modality", "centre", "modality"),
    ],
)
def test_set_changes_the_spectrum(change: str, key: str, value: object) -> None:
    expected = load_recipe().spectrum.model_copy(update={key: value})
    assert load_recipe("adaptive-svd", [change]).spectrum == expected


@given(st.one_of(st.integers(1, 10_000), st.floats(0.01, 1).map(lambda x: f"energy:{x:.4f}"), st.just("auto")))
def test_a_rank_is_the_same_as_a_word(rank: int | str) -> None:
    assert (
        Spectrum(rank=rank) == Spectrum.model_validate({"rank": str(rank)}) == Spectrum.model_validate({"rank": rank})
    )


@pytest.mark.parametrize(
    ("rank", "energy"), [("auto", None), (16, None), ("energy:0.95", 0.95), ("energy:1", 1.0), ("energy:.5", 0.5)]
)
def test_the_energy_that_a_rank_asks_for(rank: int | str, energy: float | None) -> None:
    assert Spectrum(rank=rank).energy == energy


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        *(
            ([f"spectrum.rank={rank}"], 'spectrum.rank: expected "auto", a share of the variance such as "energy:0.95"')
            for rank in (
                "all",
                "energy",
                "energy:",
                "energy:0",
                "energy:1.5",
                "energy:-1",
                "1.5",
                "true",
                "[8]",
                "auto:1",
            )
        ),
        (["spectrum.rank=0"], "spectrum.rank: expected a rank of at least 1, found 0"),
        (["spectrum.rank=-3"], "spectrum.rank: expected a rank of at least 1, found -3"),
        (["spectrum.min_rank=300"], "spectrum: min_rank 300 is above max_rank 256"),
        (["spectrum.basis=full", "spectrum.rank=16"], "spectrum: rank 16: basis full keeps every coordinate"),
        (["spectrum.basis=pca"], "spectrum.basis: Input should be 'principal', 'between', 'random', 'full' or 'phi-s'"),
        (["training.ema=1"], "training.ema: Input should be less than 1"),
        (["training.layer_decay=0"], "training.layer_decay: Input should be greater than 0"),
        (["views=-1"], "views: Input should be greater than or equal to 0, found -1"),
        (["text.heads=5"], "text: width 256 is not a multiple of heads 5"),
        ([f"objective.{name}.weight=0" for name in OURS], "objective: every term has weight 0"),
        (["objective.pcm.gama=1"], "unknown key 'objective.pcm.gama'; the nearest known key is 'objective.pcm.gamma'"),
        (["objective.sdm.weight=1"], "unknown key 'objective.sdm'; known keys there: pcm, relation"),
        (["prompts.rgb=x"], "unknown key 'prompts'; known keys there: name, image, spectrum"),
    ],
)
def test_what_cannot_be_is_refused_by_name(changes: list[str], said: str) -> None:
    assert refused("adaptive-svd", *changes).startswith(f"recipe adaptive-svd: {said}")


def test_a_misspelt_key_anywhere_is_refused_with_its_path_and_the_right_one() -> None:
    known = set(keys(yaml.safe_load(dump_recipe(load_recipe()))))
    assert {"spectrum.rank", "objective.relation.cross", "training.ema", "text.train", "student.init"} < known
    for key in known:
        assert refused("adaptive-svd", f"{key}_=1").endswith(f"unknown key '{key}_'; the nearest known key is '{key}'")


def test_an_objective_alone_is_a_recipe_with_person_sized_images() -> None:
    recipe = check_recipe({"name": "short", "objective": {"cosine": {"weight": 1}}, "image": {"height": 128}}, "short")
    assert (recipe.image.height, recipe.image.width) == (128, 128)
    assert DistillRecipe(name="x", objective=recipe.objective).image.height == 256
    assert recipe.objective.weighted == ("cosine",)


def listed(*arguments: str) -> str:
    result = CliRunner().invoke(list_command, list(arguments), catch_exceptions=False)
    assert result.exit_code == 0
    return result.output


@pytest.mark.parametrize(
    ("kind", "names"), [("losses", list(Objective.model_fields)), ("students", list(ZOO)), ("recipes", list_recipes())]
)
def test_each_is_listed_with_a_line_about_it(kind: str, names: list[str]) -> None:
    lines = [line.split(maxsplit=1) for line in listed(kind).splitlines()]
    assert [line[0] for line in lines] == names
    assert all(len(line) == 2 for line in lines)
    assert all(f"  {name} " in listed() for name in names)


def test_a_recipe_is_printed_as_a_file_that_loads(tmp_path: Path) -> None:
    printed = listed("recipes", "pca-mse", "--set", "training.seed=2")
    assert load_recipe(write(tmp_path / "r.yaml", printed)) == load_recipe("pca-mse", ["training.seed=2"])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["losses", "pcm"], "losses pcm: only a recipe is printed in full"),
        (["recipes", "--set", "views=2"], "--set: goes with a recipe's name"),
        (["recipes", "pca-mes"], "recipe 'pca-mes' is not known; did you mean pca-mse?"),
    ],
)
def test_what_cannot_be_listed_is_refused(arguments: list[str], said: str) -> None:
    with pytest.raises(UserError) as error:
        list_command.main(arguments, standalone_mode=False)
    assert str(error.value).startswith(said)
