"""The store that `teacher embed` writes: what plain transformers computes, and the same whatever happens on the way."""

from __future__ import annotations

import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from children import DEADLINE, wait_until
from numpy.typing import NDArray
from peft import PeftModel
from PIL import Image
from small_models import SIZE, SMALL
from transformers import AutoModelForImageTextToText, AutoTokenizer
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

from reid.artifact import read_manifest
from reid.dataset import Dataset
from reid.embeddings import EmbeddingStore
from reid.sample import Sample
from reid.synthetic.world import World
from reid.synthetic.write import write_world
from teacher.checkpoint import load_teacher
from teacher.embedder import Embedder
from teacher.embedding import write_store

ROWS = 3
"""Samples per shard: many shards, so that a kill finds some written and some not."""


@pytest.fixture(scope="module")
def words(people: Dataset, teacher_of: Callable[..., Path]) -> list[str]:
    """The command but for --out."""
    options = ["--device", "cpu", "--batch", "5", "--shard-rows", str(ROWS)]
    return ["teacher", "embed", str(people.root), "--teacher", str(teacher_of()), *options]


@pytest.fixture(scope="module")
def whole(people: Dataset, teacher_of: Callable[..., Path], tmp_path_factory: Any) -> Path:
    """The store that nobody interrupted."""
    out: Path = tmp_path_factory.mktemp("whole") / "store"
    teacher = load_teacher(teacher_of(), merge=True)
    write_store(teacher, people, out, source=str(people.root), batch=5, shard_rows=ROWS, say=lambda line: None)
    return out


@pytest.fixture(scope="module")
def killed(words: list[str], tmp_path_factory: Any) -> Path:
    """What is left of a run that was killed by SIGKILL after its second shard, or a little later."""
    out: Path = tmp_path_factory.mktemp("killed") / "store"
    partial = out.with_name("store.partial")
    child = subprocess.Popen([sys.executable, "-m", *words, "--out", out], stdout=subprocess.DEVNULL)
    wait_until((partial / "shard-00001.arrow").exists, child)
    child.kill()
    assert child.wait() == -signal.SIGKILL
    assert not out.exists()
    return partial


@pytest.fixture
def out(killed: Path, tmp_path: Path) -> Path:
    """A store of which a part is there."""
    shutil.copytree(killed, tmp_path / "store.partial")
    return tmp_path / "store"


def shards(folder: Path) -> dict[str, int]:
    """When each was written."""
    return {path.name: path.stat().st_mtime_ns for path in folder.glob("shard-*.arrow")}


def assert_same(out: Path, whole: Path) -> None:
    """Byte for byte; of the manifests all but the way to the parents."""
    ours, expected = read_manifest(out), read_manifest(whole)
    assert {path.name for path in out.iterdir()} == {*ours.files, "manifest.json"}
    assert ours.files == expected.files
    assert ours.details == expected.details
    assert [p.manifest_sha256 for p in ours.parents] == [p.manifest_sha256 for p in expected.parents]
    assert not out.with_name(out.name + ".partial").exists()


@torch.no_grad()
def literal(samples: tuple[Sample, ...], base: Path, checkpoint: Path) -> NDArray[np.float32]:
    """The hidden state of each prompt's last token, one sample at a time, by transformers and peft alone."""
    model: Any = PeftModel.from_pretrained(AutoModelForImageTextToText.from_pretrained(base), str(checkpoint)).eval()
    tokenizer: Any = AutoTokenizer.from_pretrained(base)
    processor = Qwen2VLImageProcessorPil(do_resize=False)
    prompts: Any = SMALL["prompts"]
    found = []
    for sample in samples:
        before, after = prompts[sample.modality.value].split("{item}")
        opening = f"<|im_start|>system\n{prompts['system']}<|im_end|>\n<|im_start|>user\n{before}"
        closing = f"{after}<|im_end|>\n<|im_start|>assistant\n"
        more = {}
        if sample.image is None:
            caption = tokenizer(sample.text)["input_ids"][: prompts["caption_tokens"]]
            ids = [*tokenizer(opening)["input_ids"], *caption, *tokenizer(closing)["input_ids"]]
        else:
            image = Image.open(sample.image).convert("RGB").resize((SIZE.width, SIZE.height), Image.Resampling.BICUBIC)
            more = dict(processor([image], return_tensors="pt"))
            tokens = int(more["image_grid_thw"].prod()) // 4
            item = f"<|vision_start|>{'<|image_pad|>' * tokens}<|vision_end|>"
            ids = tokenizer(f"{opening}{item}{closing}")["input_ids"]
        input_ids = torch.tensor([ids])
        types = (input_ids == model.config.image_token_id).int()
        states = model.base_model.model.model(input_ids=input_ids, mm_token_type_ids=types, **more).last_hidden_state
        found.append(states[0, -1].numpy())
    return np.array(found)


def test_the_store_holds_what_plain_transformers_computes(
    whole: Path, people: Dataset, base_of: Callable[..., Path], teacher_of: Callable[..., Path]
) -> None:
    store = EmbeddingStore.open(whole)
    assert store.table.sample_id == [sample.sample_id for sample in people.samples]
    assert {str(modality) for modality in store.table.modality} == {"rgb", "ir", "sketch", "text"}
    expected = literal(people.samples, base_of(), teacher_of())
    assert expected.std(axis=0).min() > 0.01
    # float16 has 11 bits.
    np.testing.assert_allclose(store.embeddings(), expected, rtol=2**-10, atol=2e-4)


def test_the_size_of_a_batch_makes_no_difference(whole: Path, people: Dataset, teacher_of: Callable[..., Path]) -> None:
    stored = EmbeddingStore.open(whole).embeddings()
    encoder = load_teacher(teacher_of()).encoder
    for batch in (1, 1000):
        embedded = Embedder(encoder, batch=batch).embed(people.samples)
        np.testing.assert_allclose(embedded, stored, rtol=2**-10, atol=2e-4)


def test_two_runs_give_the_same_bytes(words: list[str], whole: Path, tmp_path: Path, reid: Any) -> None:
    stores = [tmp_path / "one" / "store", tmp_path / "two" / "store"]
    for out in stores:
        done = reid(*words, "--out", out)
        assert done.code == 0, done.err
        assert done.out.splitlines()[-1] == f"wrote {out}: {len(EmbeddingStore.open(out))} samples, 32 dimensions"
        assert_same(out, whole)
    one, two = ({path.name: path.read_bytes() for path in out.iterdir()} for out in stores)
    assert one == two


def test_long_captions_are_counted(
    words: list[str], people: Dataset, base_of: Callable[..., Path], tmp_path: Path, reid: Any
) -> None:
    tokenizer: Any = AutoTokenizer.from_pretrained(base_of())
    cut = sum(len(tokenizer(s.text)["input_ids"]) > 24 for s in people.samples if s.text is not None)
    assert cut
    assert f"note: {cut} captions are cut to 24 tokens" in reid(*words, "--out", tmp_path / "store").out


def test_a_killed_run_computes_only_what_is_missing(words: list[str], whole: Path, out: Path, reid: Any) -> None:
    kept = shards(out.with_name("store.partial"))
    done = reid(*words, "--out", out)
    assert done.code == 0, done.err
    assert f"going on: {len(kept)} of {len(shards(whole))} shards are there" in done.out
    assert kept.items() <= shards(out).items()
    assert 2 <= len(kept) < len(shards(whole))
    assert_same(out, whole)


def test_two_processes_write_what_one_does(words: list[str], whole: Path, tmp_path: Path) -> None:
    out = tmp_path / "store"
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m"]
    done = subprocess.run([*launcher, *words, "--out", out], capture_output=True, text=True, timeout=DEADLINE)
    assert done.returncode == 0, done.stderr
    # One of them speaks.
    assert done.stdout.count("wrote") == 1
    assert done.stderr.count("running on the CPU") <= 1
    assert_same(out, whole)


@contextmanager
def small_files(limit: int) -> Iterator[None]:
    """Within the context no file can grow beyond so many bytes, which fails as a full disk does."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_is_one_line_and_the_run_goes_on_afterwards(
    words: list[str], whole: Path, out: Path, reid: Any
) -> None:
    partial = out.with_name("store.partial")
    kept = shards(partial)
    with small_files(64):
        done = reid(*words, "--out", out)
    assert done.code == 2
    (line,) = done.err.splitlines()
    assert line.startswith(f"error: {partial / f'shard-{len(kept):05d}.arrow'}: cannot be written (File too large)")
    assert not out.exists()
    assert shards(partial) == kept
    assert {path.name for path in partial.iterdir()} == {*kept, "plan.json"}
    assert reid(*words, "--out", out).code == 0
    assert_same(out, whole)


@pytest.mark.parametrize(("limit", "file"), [(4, "plan.json"), (1536, "shard-00000.arrow")])
def test_a_full_disk_at_the_first_file_leaves_nothing(
    limit: int, file: str, words: list[str], tmp_path: Path, reid: Any
) -> None:
    with small_files(limit):
        done = reid(*words, "--out", tmp_path / "store")
    assert (done.code, len(done.err.splitlines())) == (2, 1)
    assert f"{file}: cannot be written" in done.err
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_at_the_last_file_loses_no_shard(words: list[str], whole: Path, tmp_path: Path, reid: Any) -> None:
    out = tmp_path / "store"
    with small_files(4096):
        done = reid(*words, "--out", out)
    assert (done.code, len(done.err.splitlines())) == (2, 1)
    assert "manifest.json: cannot be written" in done.err
    kept = shards(tmp_path / "store.partial")
    assert reid(*words, "--out", out).code == 0
    assert shards(out) == kept
    assert_same(out, whole)


@pytest.fixture(scope="module")
def others(teacher_of: Callable[..., Path], tmp_path_factory: Any) -> dict[str, list[str]]:
    """What differs, as it is named -> words that make it differ."""
    folder = tmp_path_factory.mktemp("others") / "people"
    world = World(seed=6, people=20, cameras=2, per_camera=1, sketches=1, captions=1, size=(32, 16), lookalikes=0)
    write_world(world, folder, progress=False)
    return {
        "model": ["--teacher", str(teacher_of(seed=2))],
        "adapter": ["--no-merge"],
        "dtype": ["--float32"],
        "shard_rows": ["--shard-rows", "9"],
        "adapter, dtype": ["--dtype", "bf16"],
        "data": [str(folder)],
    }


@pytest.mark.parametrize("what", ["model", "adapter", "dtype", "shard_rows", "adapter, dtype", "data"])
def test_a_store_of_something_else_is_not_gone_on_with(
    what: str, others: dict[str, list[str]], words: list[str], out: Path, reid: Any
) -> None:
    partial = out.with_name("store.partial")
    before = {path.name: path.read_bytes() for path in partial.iterdir()}
    changed = [*words[:2], *others[what], *words[3:]] if what == "data" else [*words, *others[what]]
    done = reid(*changed, "--out", out)
    assert done.code == 2
    assert done.err.splitlines() == [
        f"error: {partial}: begun with another {what}; finish it with the same settings, or remove it to start again"
    ]
    assert {path.name: path.read_bytes() for path in partial.iterdir()} == before
