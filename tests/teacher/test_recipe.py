"""Recipes: shipped, written and read again, built on each other, changed by `--set`, and refused in one line."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import recipes
from reid.errors import UserError
from reid.modality import Modality
from teacher.recipe import check_recipe, dump_recipe, list_recipes, load_recipe
from teacher.settings import Level, Prompts, Recipe, Term

Raw = dict[str, Any]


def plain() -> Raw:
    """The shipped recipe in full, as plain values."""
    raw: Raw = yaml.safe_load(dump_recipe(load_recipe("mllmembed")))
    return raw


def changed(raw: Raw, key: str, value: Any) -> Raw:
    """`raw` with another value at a dotted key."""
    raw = copy.deepcopy(raw)
    *parents, last = key.split(".")
    place = raw
    for parent in parents:
        place = place[parent]
    place[last] = value
    return raw


def at(recipe: Recipe, key: str) -> Any:
    """The value at a dotted key."""
    found: Any = recipe
    for part in key.split("."):
        found = found[part] if isinstance(found, dict) else getattr(found, part)
    return found


def keys(raw: Raw, parent: tuple[str, ...] = ()) -> Iterator[str]:
    """All dotted keys of nested mappings."""
    for key, value in raw.items():
        yield ".".join((*parent, key))
        if isinstance(value, dict):
            yield from keys(value, (*parent, key))


def write(path: Path, text: str) -> str:
    path.write_text(text, encoding="utf-8")
    return str(path)


def refused(name: str, *changes: str) -> str:
    """The one line by which a recipe is refused."""
    with pytest.raises(UserError) as error:
        load_recipe(name, changes)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_every_shipped_recipe_loads_by_its_name() -> None:
    shipped = sorted(path.stem for path in Path(recipes.__file__).parent.glob("*.yaml"))
    assert list_recipes() == shipped != []
    assert [load_recipe(name).name for name in shipped] == shipped


@pytest.mark.parametrize("name", list_recipes())
def test_a_shipped_recipe_survives_being_written(tmp_path: Path, name: str) -> None:
    recipe = load_recipe(name)
    assert load_recipe(write(tmp_path / "recipe.yaml", dump_recipe(recipe))) == recipe


# Without U+0085: see test_the_character_next_line_survives_being_written. Long ones are folded over lines.
words = st.text(st.characters(codec="utf-8", exclude_characters="\x85"), max_size=30)
words |= st.lists(st.sampled_from(["person", "\n", "re-ID: 'x'", "größer", "# no"])).map(
    lambda found: " ".join(found * 9)
)
message = st.builds("{}{{item}}{}".format, words, words).filter(lambda text: text.count("{item}") == 1)
share = st.floats(0, 1)
positive = st.floats(1e-12, 1e6)
levels = st.builds(
    Level,
    part=st.sampled_from(["vision", "connector", "language"]),
    layers=st.sampled_from(["all", "0", "0-5", "0,2,4", "0-5,8"]),
    modules=st.lists(st.sampled_from(["attention", "mlp"]), min_size=1, max_size=2).map(tuple),
    rank=st.integers(1, 512),
    alpha=positive,
    dora=st.booleans(),
    lr=positive,
)


@st.composite
def whole_recipes(draw: st.DrawFn) -> Raw:
    shares = sorted(draw(st.sets(share, max_size=4)))
    prompts = {m.value: draw(message) for m in Modality}
    named = draw(st.dictionaries(words, levels, min_size=1, max_size=3))
    sdm = {"weight": draw(positive), "schedule": [(s, draw(positive)) for s in shares]}
    return {
        "name": draw(words),
        "prompts": {"system": draw(words), **prompts},
        "tuning": {"levels": {name: level.model_dump() for name, level in named.items()}, "lr": draw(positive)},
        "objective": {"sdm": sdm, "triplet": {"margin": draw(st.none() | positive)}},
        "training": {"epochs": draw(st.lists(st.integers(1, 9), min_size=1)), "warmup": draw(share)},
    }


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(raw=whole_recipes())
def test_any_recipe_survives_being_written(tmp_path: Path, raw: Raw) -> None:
    recipe = check_recipe(raw, "drawn")
    assert load_recipe(write(tmp_path / "recipe.yaml", dump_recipe(recipe))) == recipe


@pytest.mark.parametrize(
    ("change", "value"),
    [
        ("name=mine", "mine"),
        ("image.height=280", 280),
        ("training.epochs=[2, 1]", (2, 1)),
        ("training.recompute=false", False),
        ("tuning.levels.vision.rank=8", 8),
        ("tuning.levels.vision.lr=3e-4", 0.0003),  # a string to YAML 1.1, which wants 3.0e-4
        ("tuning.levels.language.modules=[mlp]", ("mlp",)),
        ("tuning.levels.language.layers=0-5,8", "0-5,8"),
        ("objective.triplet.margin=null", None),
        ("objective.sdm.schedule=[[0, 1], [1, 0.5]]", ((0, 1), (1, 0.5))),
        ("prompts.system=Say a=b.", "Say a=b."),
    ],
)
def test_set_changes_the_key_that_it_names_and_no_other(change: str, value: Any) -> None:
    key = change.partition("=")[0]
    recipe = load_recipe("mllmembed", [change])
    assert at(recipe, key) == value
    assert at(load_recipe("mllmembed"), key) != value
    as_before = changed(recipe.model_dump(), key, at(load_recipe("mllmembed"), key))
    assert Recipe.model_validate(as_before) == load_recipe("mllmembed")


def test_the_last_of_several_changes_holds() -> None:
    recipe = load_recipe("mllmembed", ["training.seed=1", "training.warmup=0.5", "training.seed=2"])
    assert (recipe.training.seed, recipe.training.warmup) == (2, 0.5)


def test_set_adds_a_level() -> None:
    recipe = load_recipe("mllmembed", ["tuning.levels.deep.part=language", "tuning.levels.deep.layers=20-27"])
    assert recipe.tuning.levels["deep"] == Level(part="language", layers="20-27")
    assert set(recipe.tuning.levels) == {"vision", "connector", "language", "deep"}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("training.seed", "--set training.seed: expected KEY=VALUE, such as training.seed=1"),
        ("training.epochs=[1", "--set training.epochs=[1: not YAML (while parsing a flow sequence"),
        ("training.sede=1", "unknown key 'training.sede'; the nearest known key is 'training.seed'"),
        ("training.seed=-1", "training.seed: Input should be greater than or equal to 0, found -1"),
        ("training.seed.x=1", "training.seed: Input should be a valid integer, found {'x': 1}"),
        ("image=5", "image: Input should be a valid dictionary"),
    ],
)
def test_a_change_that_cannot_be_is_refused(change: str, said: str) -> None:
    assert said in refused("mllmembed", change)


def test_extends_merges_mappings_and_replaces_the_rest(tmp_path: Path) -> None:
    base = write(
        tmp_path / "base.yaml",
        "extends: mllmembed\nname: base\n"
        "training: {epochs: [1, 2, 3], seed: 5}\n"
        "objective: {sdm: {schedule: [[0, 1], [1, 0]]}}\n",
    )
    top = write(
        tmp_path / "top.yaml",
        f"extends: {base}\n"
        "training: {epochs: [7]}\n"
        "tuning: {levels: {language: {modules: [mlp]}, more: {part: vision}}}\n"
        "objective: {sdm: {weight: 2, schedule: []}}\n",
    )
    recipe, root = load_recipe(top), load_recipe("mllmembed")
    assert recipe.name == "base"
    assert recipe.training.epochs == (7,)  # replaced, not joined to the list below
    assert (recipe.training.seed, recipe.training.neck_lr) == (5, root.training.neck_lr)
    assert recipe.tuning.levels["language"] == root.tuning.levels["language"].model_copy(update={"modules": ("mlp",)})
    assert list(recipe.tuning.levels) == [*root.tuning.levels, "more"]
    assert (recipe.objective.sdm.weight, recipe.objective.sdm.schedule) == (2, ())
    assert recipe.objective.sdm.temperature == root.objective.sdm.temperature
    assert recipe.prompts == root.prompts


def test_a_chain_of_recipes_is_followed(tmp_path: Path) -> None:
    name = "mllmembed"
    for number in range(6):
        name = write(tmp_path / f"{number}.yaml", f"extends: {name}\ntraining: {{seed: {number}}}\n")
    assert load_recipe(name).training.seed == 5


def test_recipes_that_extend_each_other_are_refused(tmp_path: Path) -> None:
    one, other = str(tmp_path / "one.yaml"), str(tmp_path / "other.yaml")
    write(Path(one), f"extends: {other}\n")
    write(Path(other), f"extends: {one}\n")
    write(tmp_path / "self.yaml", f"extends: {tmp_path / 'self.yaml'}\n")
    for name in (one, str(tmp_path / "self.yaml")):
        assert "extends itself" in refused(name)


def test_a_recipe_that_extends_what_is_not_there_names_it(tmp_path: Path) -> None:
    name = write(tmp_path / "r.yaml", "extends: mllmembd\n")
    assert refused(name).startswith("recipe 'mllmembd' is not known; did you mean mllmembed?")


def test_a_misspelt_key_anywhere_is_refused_with_its_path_and_the_right_one() -> None:
    levels = {f"tuning.levels.{name}" for name in plain()["tuning"]["levels"]}  # names that the user chooses
    known = set(keys(plain())) - levels
    assert {"name", "prompts.ir", "tuning.levels.vision.rank", "training.seed"} < known
    for key in known:
        with pytest.raises(UserError) as error:
            check_recipe(changed(plain(), f"{key}_", 1), "r.yaml")
        assert str(error.value) == f"recipe r.yaml: unknown key '{key}_'; the nearest known key is '{key}'"


@pytest.mark.parametrize(
    ("key", "hint"),
    [
        ("trainnig", "the nearest known key is 'training'"),
        ("tuning.levels.vision.rnak", "the nearest known key is 'tuning.levels.vision.rank'"),
        ("training.levels", "the nearest known key is 'tuning.levels'"),  # at home in another section
        ("training.dora", "the nearest known key is 'tuning.levels.*.dora'"),
        ("sampling.xyz", "known keys there: people, per_person"),
    ],
)
def test_what_an_unknown_key_may_have_meant(key: str, hint: str) -> None:
    assert refused("mllmembed", f"{key}=1") == f"recipe mllmembed: unknown key '{key}'; {hint}"


@pytest.mark.parametrize(
    "key", ["name", "prompts", "tuning", "objective", "prompts.sketch", "tuning.levels.vision.part"]
)
def test_what_must_be_there_is_missed(key: str) -> None:
    raw = plain()
    place = raw
    *parents, last = key.split(".")
    for parent in parents:
        place = place[parent]
    del place[last]
    with pytest.raises(UserError, match=rf"^recipe r: {key}: Field required$"):
        check_recipe(raw, "r")


LEVEL = "tuning.levels.vision"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        *(({f"prompts.{m}": "Look at this."}, f"prompts.{m}: expected {{item}} exactly once") for m in Modality),
        ({"prompts.ir": "{item} or {item}"}, "prompts.ir: expected {item} exactly once"),
        *(
            ({f"{LEVEL}.layers": layers}, f'{LEVEL}.layers: expected "all" or ranges such as "0-5,8"')
            for layers in ("", "first", "0-", "-5", "0-5-8", "0,,2", "0, 2", "0-5,", "all,3", "1.5")
        ),
        ({f"{LEVEL}.stage": 1}, f"{LEVEL}.stage: 1, but training.epochs has stages 0 to 0"),
        ({"training.epochs": [1, 1], f"{LEVEL}.stage": 2}, f"{LEVEL}.stage: 2, but training.epochs has stages 0 to 1"),
        ({"tuning.levels": {}}, "tuning: levels: none given; LoRA needs at least one"),
        (
            {"tuning.kind": "full", "tuning.quantise": True},
            "tuning: quantise: works with kind lora alone, not with full",
        ),
        ({"tuning.kind": "frozen", "tuning.quantise": True}, "quantise: works with kind lora alone, not with frozen"),
        ({"objective.sdm.schedule": [[0.5, 1], [0.5, 2]]}, "objective.sdm.schedule: expected shares of the training"),
        ({"objective.id.schedule": [[1, 1], [0, 2]]}, "objective.id.schedule: expected shares of the training"),
        ({"objective.sdm.schedule": [[0, 1], [1.5, 1]]}, "objective.sdm.schedule.1.0: Input should be less than"),
        ({"objective.sdm.schedule": [[0, -1]]}, "objective.sdm.schedule.0.1: Input should be greater than"),
        ({"objective.sdm.weight": -1}, "objective.sdm.weight: Input should be greater than or equal to 0, found -1"),
        ({"objective": {}}, "objective: every term has weight 0; nothing would be learnt"),
        ({"objective": {"id": {"weight": 0, "smoothing": 0.1}}}, "objective: every term has weight 0"),
        (
            {"objective.id.weight": 0, "readout.embedding": "after_neck"},
            "readout.embedding: after_neck needs objective.id, which trains the neck",
        ),
        ({"image.width": 0}, "image.width: Input should be greater than or equal to 1, found 0"),
        ({"augmentation.flip": 1.1}, "augmentation.flip: Input should be less than or equal to 1, found 1.1"),
        ({"training.scheduler": "cosin"}, "training.scheduler: Input should be 'cosine', 'linear' or 'constant'"),
    ],
)
def test_values_that_cannot_be_are_refused_by_name(changes: Raw, said: str) -> None:
    raw = plain()
    check_recipe(raw, "r.yaml")
    for key, value in changes.items():
        raw = changed(raw, key, value)
    with pytest.raises(UserError) as error:
        check_recipe(raw, "r.yaml")
    assert str(error.value).startswith("recipe r.yaml: ")
    assert said in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "changes",
    [
        {"tuning.kind": "full", "tuning.levels": {}},
        {"tuning.kind": "frozen", "tuning.levels": {}},
        {"tuning.quantise": True},
        {"readout.embedding": "after_neck"},
        {"training.epochs": [1, 1], f"{LEVEL}.stage": 1},
        {"objective": {"centres": {"weight": 0.1}}},
        {f"{LEVEL}.layers": "7"},
        {f"{LEVEL}.layers": "0,2-3,11"},
    ],
)
def test_what_is_close_to_what_is_refused_is_allowed(changes: Raw) -> None:
    raw = plain()
    for key, value in changes.items():
        raw = changed(raw, key, value)
    recipe = check_recipe(raw, "r.yaml")
    assert check_recipe(yaml.safe_load(dump_recipe(recipe)), "again") == recipe != load_recipe("mllmembed")


@given(
    st.floats(0, 10),
    st.dictionaries(st.integers(0, 1000), st.floats(0, 10), min_size=1, max_size=6),
    st.integers(0, 1000),
)
def test_a_weight_is_interpolated_as_numpy_does(weight: float, points: dict[int, float], progress: int) -> None:
    schedule = [(x / 1000, points[x]) for x in sorted(points)]
    expected = weight * np.interp(progress / 1000, *zip(*schedule, strict=True))
    assert Term(weight=weight, schedule=tuple(schedule)).at(progress / 1000) == pytest.approx(expected)


def test_a_weight_without_a_schedule_stays() -> None:
    assert [Term(weight=0.25).at(progress) for progress in (0, 0.5, 1)] == [0.25] * 3


@pytest.mark.parametrize("modality", list(Modality))
def test_a_message_is_what_stands_before_and_after_the_item(modality: Modality) -> None:
    messages = {m.value: f"Here is {m}: {{item}} and so on {m}." for m in Modality}
    prompts = Prompts(system="s", **messages)
    assert prompts.message(modality) == (f"Here is {modality}: ", f" and so on {modality}.")


@pytest.mark.parametrize("name", ["recipe.yaml", "recipe.yml", "recipe"])
def test_a_recipe_is_read_from_a_path(tmp_path: Path, name: str) -> None:
    assert load_recipe(write(tmp_path / name, "extends: mllmembed\nname: größer\n")).name == "größer"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"a: [1\nb: 2\n", "not YAML (while parsing a flow sequence"),
        (b"a: 1\n---\nb: 2\n", "not YAML (expected a single document"),
        (b"name: \x01\n", "not YAML (unacceptable character"),
        (b"name: !!python/name:os.system\n", "not YAML (could not determine a constructor"),
        (b"name: gr\xf6\xdfer\n", "cannot be read ('utf-8' codec can't decode byte 0xf6"),
        (b"", "expected a mapping of sections, found NoneType"),
        (b"- name\n", "expected a mapping of sections, found list"),
    ],
)
def test_a_file_that_holds_no_recipe_is_refused(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "r.yaml"
    path.write_bytes(content)
    assert refused(str(path)).startswith(f"recipe {path}: {said}")


def test_a_file_that_cannot_be_opened_is_refused(tmp_path: Path) -> None:
    (tmp_path / "folder.yaml").mkdir()
    assert refused(str(tmp_path / "folder.yaml")) == f"recipe {tmp_path}/folder.yaml: cannot be read (Is a directory)"
    assert "gone.yaml: cannot be read (No such file or directory)" in refused(str(tmp_path / "gone.yaml"))


def test_an_unknown_name_says_what_there_is() -> None:
    assert refused("mllmembd").startswith("recipe 'mllmembd' is not known; did you mean mllmembed?")
    said = refused("zzz")
    assert all(name in said for name in list_recipes())


@pytest.mark.parametrize("value", ["2001-13-45", "!!int twelve"])
def test_values_that_yaml_cannot_convert_are_refused(tmp_path: Path, value: str) -> None:
    assert "not YAML" in refused(write(tmp_path / "r.yaml", f"extends: mllmembed\nname: {value}\n"))
    assert "not YAML" in refused("mllmembed", f"name={value}")


def test_the_character_next_line_survives_being_written(tmp_path: Path) -> None:
    recipe = load_recipe("mllmembed").model_copy(update={"name": "a\x85b"})
    assert load_recipe(write(tmp_path / "recipe.yaml", dump_recipe(recipe))) == recipe
