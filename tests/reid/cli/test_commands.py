"""Commands on a small data set on disk: what they print, what they leave, how they fail."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from reid.artifact import read_manifest
from reid.embeddings import EmbeddingStore, StoreWriter
from reid.modality import Modality
from reid.protocol import cross_modal
from reid.sample import Sample, Split


@pytest.fixture
def people(tmp_path: Path) -> Path:
    """Five people of different colours, two cameras, two photographs each; a sentence for each of camera 1."""
    rng = np.random.default_rng(0)
    rows = []
    for person in range(5):
        colours = rng.integers(0, 256, (2, 1, 3))
        for camera in (1, 2):
            for shot in range(2):
                pixels = np.repeat(np.repeat(colours, 16, axis=0), 16, axis=1) + rng.integers(-9, 9, (32, 16, 3))
                name = f"{person}_{camera}_{shot}.png"
                Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(tmp_path / name)
                row = {"image": name, "person_id": str(person), "camera_id": f"c{camera}"}
                row["split"] = "query" if camera == 1 else "gallery"
                if camera == 1:
                    row["text"] = f"person number {person}, shot {shot}"
                rows.append(row)
    (tmp_path / "samples.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path


@pytest.fixture
def store(people: Path, reid) -> Path:
    out = people / "runs" / "colour"
    assert reid("baseline", people, "--kind", "colour", "--out", out).code == 0
    return out


def printed_map(table: str, protocol: str) -> float:
    """The mAP, in per cent, that a printed table gives for a protocol."""
    header, row = (next(line.split() for line in table.splitlines() if line.startswith(w)) for w in ("proto", protocol))
    return float(row[header.index("mAP")])


def test_from_folder_to_scores(people: Path, store: Path, reid) -> None:
    done = reid("evaluate", store)
    assert done.code == 0
    assert printed_map(done.out, "rgb-to-rgb") > 95  # the people have different colours
    chance = people / "random"
    assert reid("baseline", people, "--out", chance).code == 0
    done = reid("evaluate", chance, "--all")
    assert done.code == 0
    assert {"rgb-to-rgb", "text-to-rgb"} <= set(done.out.split())
    assert "- rgb-to-rgb: gallery images of the same person by the same camera are dropped" in done.out
    assert "- AP is the plain mean" in done.out
    assert printed_map(done.out, "rgb-to-rgb") < 80


def test_all_leaves_out_what_the_store_cannot_serve_and_says_so(store: Path, reid) -> None:
    done = reid("evaluate", store, "--all")
    assert done.code == 0
    assert "lacks the samples for text-to-rgb" in done.err
    assert "rgb-to-rgb" in done.out


def test_validation_people_can_be_scored_and_calibrated_on(synthetic: Path, reid) -> None:
    store = synthetic.parent / "runs" / "random"
    reid("baseline", synthetic, "--out", store)
    done = reid("evaluate", store, "--val")
    assert done.code == 0, done.err
    assert "rgb-to-rgb-val" in done.out
    done = reid("calibrate", store, "--val", "--far", "0.5")
    assert done.code == 0, done.err
    assert "protocol rgb-to-rgb-val" in done.out


def test_stores_that_do_not_belong_together(people: Path, store: Path, reid) -> None:
    done = reid("evaluate", store, store)
    assert done.code == 2
    assert "named twice" in done.err
    reid("baseline", people, "--out", people / "random")
    done = reid("evaluate", store, people / "random")
    assert "mean is over different models: baseline colour 1, baseline random 1" in done.err


def test_protocols_of_a_group_are_also_reported_as_their_mean(tmp_path: Path, reid) -> None:
    rng = np.random.default_rng(0)
    splits = {Modality.RGB: Split.GALLERY, Modality.IR: Split.QUERY, Modality.SKETCH: Split.QUERY}
    samples = [Sample(f"{p}{m}", str(p), m, s, None, Path("x")) for p in range(9) for m, s in splits.items()]
    protocols = [replace(cross_modal(f"{m}", m, Modality.RGB), group="ONE") for m in (Modality.IR, Modality.SKETCH)]
    with StoreWriter(tmp_path / "s", samples, 3, fingerprint={}, writer={}, protocols=protocols) as plan:
        plan.write(0, rng.standard_normal((27, 3)))
    done = reid("evaluate", tmp_path / "s", "--all")
    maps = [float(line.split()[1]) for line in done.out.splitlines() if line.startswith(("ir ", "sketch "))]
    assert len(maps) == 2
    (mean,) = [line.split()[3] for line in done.out.splitlines() if line.startswith("mean of ONE")]
    assert float(mean) == pytest.approx(np.mean(maps), abs=0.011)


def test_all_and_protocol_exclude_each_other(store: Path, reid) -> None:
    assert reid("evaluate", store, "--all", "--protocol", "rgb-to-rgb").code == 2


def test_options_reach_a_kind_that_is_named_with_its_folder(people: Path, reid) -> None:
    done = reid("data", "check", f"market1501:{people}", "--set", "distractors=no")
    assert "not a Market-1501 folder" in done.err


def test_rank_lists_are_drawn_from_the_images(people: Path, store: Path, reid) -> None:
    done = reid("evaluate", store, "--rank-lists", people / "ranks.png", "--queries", 3)
    assert done.code == 0, done.err
    with Image.open(people / "ranks.png") as picture:
        assert picture.height > 3 * 160
    (people / "samples.jsonl").rename(people / "moved.jsonl")
    done = reid("evaluate", store, "--rank-lists", people / "again.png")
    assert done.code == 2
    assert not (people / "again.png").exists()
    done = reid("evaluate", store, "--rank-lists", people / "again.png", "--data", people / "moved.jsonl")
    assert done.code == 0, done.err


def test_a_contact_sheet_shows_the_people_asked_for(people: Path, reid) -> None:
    done = reid("data", "show", people, "--out", people / "sheet.png", "--person", 3, "--person", 1, "--compare")
    assert done.code == 0, done.err
    one = reid("data", "show", people, "--out", people / "one.png", "--person", 3)
    assert one.code == 0
    with Image.open(people / "sheet.png") as two_rows, Image.open(people / "one.png") as one_row:
        assert two_rows.height > one_row.height
    assert reid("data", "show", people, "--out", people / "x.png", "--person", "nobody").code == 2


def test_derived_views_are_written_beside_and_found_again(people: Path, reid) -> None:
    done = reid("data", "derive", people, "--sketch-style", "xdog")
    assert done.code == 2
    assert "xdog" in done.err
    done = reid("data", "derive", people)
    assert done.code == 0, done.err
    assert "40 views written" in done.out
    assert "40 were there already" in reid("data", "derive", people).out
    checked = reid("data", "check", people / "samples-derived.jsonl")
    assert checked.code == 0, checked.out


def test_colour_leaves_out_text_and_random_does_not(people: Path, store: Path, reid) -> None:
    assert len(EmbeddingStore.open(store)) == 20
    reid("baseline", people, "--out", people / "random")
    assert len(EmbeddingStore.open(people / "random")) == 30


def test_random_embeddings_depend_on_the_seed_and_nothing_else(people: Path, reid) -> None:
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        reid("baseline", people, "--out", people / name, "--seed", seed)
    a, b, c = (EmbeddingStore.open(people / name).embeddings() for name in "abc")
    assert np.array_equal(a, b)
    assert not np.array_equal(a, c)


def test_several_stores_are_scored_and_averaged(people: Path, reid) -> None:
    for seed in range(3):
        reid("baseline", people, "--out", people / f"s{seed}", "--seed", seed)
    done = reid("evaluate", *(people / f"s{seed}" for seed in range(3)), "--save", people / "scores.json")
    assert "mean of 3" in done.out
    saved = json.loads((people / "scores.json").read_text())
    mean = 100 * np.mean([one["mAP"] for one in saved])
    assert f"{mean:.2f} ±" in done.out
    assert all(len(one["trials"][0]["per_query"]) == 10 for one in saved)


def test_the_newest_store_is_taken_and_named(store: Path, reid, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(store.parent.parent)
    done = reid("evaluate")
    assert done.code == 0
    assert "taking the newest store, runs/colour" in done.err


def test_rerank_is_named_with_the_numbers(store: Path, reid) -> None:
    done = reid("evaluate", store, "--rerank", "--k1", 4, "--k2", 2)
    assert done.code == 0
    assert "k-reciprocal re-ranking, k1=4 k2=2 lambda=0.3" in done.out


def test_calibrate_prints_a_threshold_and_draws(people: Path, store: Path, reid) -> None:
    done = reid("calibrate", store, "--far", "0.1", "--plot", people / "c.png")
    assert done.code == 0
    assert "threshold" in done.out
    # Ten queries of camera 1, each paired with all ten images of camera 2, two of which show its person.
    assert "- protocol rgb-to-rgb: 20 pairs of one person, 80 of different people;" in done.out
    with Image.open(people / "c.png") as picture:
        assert picture.size[0] > 500


def test_info_shows_writer_files_and_verifies(store: Path, reid) -> None:
    done = reid("info", store, "--verify")
    assert done.code == 0
    assert "embeddings" in done.out
    assert "baseline colour 1" in done.out
    assert "as they were written" in done.out
    raw = reid("info", store, "--json").out
    assert json.loads(raw)["kind"] == "embeddings"


def test_info_finds_a_changed_file(store: Path, reid) -> None:
    shard = store / "shard-00000.arrow"
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 1
    shard.write_bytes(content)
    done = reid("info", store, "--verify")
    assert done.code == 2
    assert "shard-00000.arrow has changed" in done.err


def test_check_passes_and_fails_by_exit_code(people: Path, reid) -> None:
    done = reid("data", "check", people, "--json", people / "report.json")
    assert done.code == 0
    assert json.loads((people / "report.json").read_text())["broken"] is False
    (people / "0_1_0.png").write_bytes(b"not an image")
    done = reid("data", "check", people)
    assert done.code == 1
    assert "0_1_0.png" in done.out
    assert "BROKEN" in done.out


def test_a_broken_image_stops_or_is_counted(people: Path, reid) -> None:
    (people / "3_2_1.png").write_bytes((people / "3_2_1.png").read_bytes()[:60])
    done = reid("baseline", people, "--kind", "colour", "--out", people / "c")
    assert done.code == 2
    assert "3_2_1.png" in done.err
    assert "--skip-broken" in done.err
    assert not list(people.glob("c*"))
    done = reid("baseline", people, "--kind", "colour", "--out", people / "c", "--skip-broken")
    assert done.code == 0
    assert "left out 1 images" in done.out
    assert len(EmbeddingStore.open(people / "c")) == 19


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["evaluate", "nowhere"], "nowhere: has no manifest.json"),
        (["evaluate", "{store}", "--protocol", "rgb"], "has no protocol 'rgb'; it has rgb-to-rgb"),
        (["data", "check", "market1501", "nowhere"], "nowhere: no such file or folder"),
        (["data", "check", "market150", "."], "'market150' is not a kind of data set; did you mean market1501"),
        (["data", "check", "msmt17", ".", "--set", "list_vall=train"], "did you mean 'list_val'"),
        (["data", "check", "{people}", "--set", "x"], "expected OPTION=VALUE"),
        (["baseline", "{people}", "--out", "{store}"], "already exists"),
        (["calibrate", "{store}", "--far", "0.00001"], "needs at least 100000 pairs"),
        (["teacher", "train"], "pip install 'reid-distill[cloud]'"),
        (["evaluate", "--k1", "many"], "'many' is not a valid integer"),
        (["nonsense"], "No such command 'nonsense'"),
    ],
)
def test_errors_are_one_line_and_code_2(people: Path, store: Path, reid, words, message: str, monkeypatch) -> None:
    monkeypatch.setattr("reid.extras.find_spec", lambda name: None if name == "torch" else object())
    done = reid(*(word.format(store=store, people=people) for word in words))
    assert done.code == 2
    (line,) = [line for line in done.err.splitlines() if line.startswith("error: ")]
    assert message in line
    assert "Traceback" not in done.err


def test_a_bug_keeps_its_traceback(people: Path) -> None:
    script = (
        "import sys; from reid.cli import main; import reid.datasets as d\n"
        "def broken(*words): raise RuntimeError('a bug')\n"
        "import reid.cli.options as o; o.open_dataset = broken\n"
        f"sys.argv = ['reid', 'data', 'check', {str(people)!r}]; main()"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "Traceback" in done.stderr
    assert "a bug" in done.stderr


@pytest.mark.parametrize("package", ["reid", "teacher", "distill", "export", "edge_runtime"])
def test_every_package_runs_as_a_module(package: str) -> None:
    done = subprocess.run([sys.executable, "-m", package, "--version"], capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert done.stdout.strip().endswith("0.1.0")


def test_kinds_lists_all_and_shows_one(reid) -> None:
    listed = reid("data", "kinds").out
    assert {"market1501", "sysu", "manifest"} <= set(listed.split())
    shown = reid("data", "kinds", "msmt17").out
    assert "list_val" in shown
    assert "mask_train_v2" in shown


@pytest.fixture
def synthetic(tmp_path: Path, reid) -> Path:
    """Twelve synthetic people seen by two cameras."""
    out = tmp_path / "people"
    done = reid("data", "synth", out, "--people", 12, "--cameras", 2, "--per-camera", 1, "--lookalikes", 1)
    assert done.code == 0, done.err
    return out


def test_synthetic_people_are_a_checked_artifact_with_lineage(synthetic: Path, reid) -> None:
    assert reid("data", "check", synthetic).code == 0
    store = synthetic.parent / "runs" / "random"
    assert reid("baseline", synthetic, "--out", store).code == 0
    done = reid("info", store)
    assert f"from dataset {read_manifest(synthetic).sha256[:12]}" in done.out
    assert "(not here)" not in done.out
    assert reid("info", synthetic, "--verify").code == 0
    done = reid("evaluate", store, "--all")
    assert {"rgb-to-rgb", "ir-to-rgb", "sketch-to-rgb", "text-to-rgb"} <= set(done.out.split())


def test_lookalikes_are_shown_side_by_side(synthetic: Path, reid) -> None:
    done = reid(
        "data", "show", synthetic, "--alike", "--people", 4, "--attributes", "--out", synthetic.parent / "a.png"
    )
    assert done.code == 0, done.err
    with Image.open(synthetic.parent / "a.png") as picture:
        assert picture.height > 4 * 160


def test_lookalikes_need_people_json(people: Path, reid) -> None:
    done = reid("data", "show", people, "--alike", "--out", people / "a.png")
    assert done.code == 2
    assert "people.json: no such file" in done.err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["evaluate", "{store}", "--save", "{store}/none/s.json"], "there is no folder"),
        (["evaluate", "{store}", "--rank-lists", "ranks.gif"], "expected one that ends in .png"),
        (["calibrate", "{store}", "--plot", "{store}/none/c.png"], "there is no folder"),
        (["data", "show", "{people}", "--out", "{store}/none/c.png"], "there is no folder"),
        (["data", "synth", "/proc/nowhere", "--people", "2"], "/proc/nowhere.partial: cannot be written"),
        (["baseline", "{people}", "--out", "/proc/nowhere"], "/proc/nowhere.partial: cannot be written"),
    ],
)
def test_places_that_cannot_be_written_are_one_line(people: Path, store: Path, reid, words, message: str) -> None:
    done = reid(*(word.format(store=store, people=people) for word in words))
    assert done.code == 2
    (line,) = [line for line in done.err.splitlines() if line.startswith("error: ")]
    assert message in line
    assert not list(people.rglob("*.partial"))
