"""What can be read of samples: broken images are left out, all else is kept as it is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from reid.modality import Modality
from reid.readable import readable
from reid.sample import Sample, Split


def image(path: Path, modality: Modality = Modality.RGB) -> Sample:
    pixels = np.random.default_rng(len(path.name)).integers(0, 256, (32, 16, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return Sample(path.name, "ann", modality, Split.TEST, image=path)


def sentence(name: str) -> Sample:
    return Sample(name, "ann", Modality.TEXT, Split.TEST, text="a person in red")


def test_what_decodes_and_all_sentences_stay_in_order(tmp_path: Path) -> None:
    samples = [
        sentence("first#0"),
        image(tmp_path / "b.png"),
        image(tmp_path / "broken.jpg"),
        image(tmp_path / "a.jpg", Modality.IR),
        image(tmp_path / "gone.png", Modality.SKETCH),
        sentence("last#0"),
        image(tmp_path / "c.jpg"),
    ]
    # The header is whole, so only reading to the end finds out.
    (tmp_path / "broken.jpg").write_bytes((tmp_path / "broken.jpg").read_bytes()[:-200])
    (tmp_path / "gone.png").unlink()
    assert readable(samples, progress=False) == [samples[i] for i in (0, 1, 3, 5, 6)]


def test_the_sentence_about_a_broken_image_stays(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_text("<html>not found</html>")
    about = Sample("a.jpg#0", "ann", Modality.TEXT, Split.TEST, text="a person in red", source_id="a.jpg")
    broken = Sample("a.jpg", "ann", Modality.RGB, Split.TEST, image=tmp_path / "a.jpg", source_id="a.jpg")
    assert readable([broken, about], progress=False) == [about]
