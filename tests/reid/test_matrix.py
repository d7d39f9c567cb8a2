"""Every modality against every modality: which protocols are taken, which are made, and that nothing finds itself."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pytest

from reid.evaluation import evaluate
from reid.matrix import NOTE, matrix_protocols
from reid.modality import Modality
from reid.protocol import Cmc, Fuse, Protocol, Sampling, Select, cross_modal, on_validation
from reid.sample import Split
from reid.table import SampleTable
from reid.trials import resolve

RGB, IR, SKETCH, TEXT = Modality.RGB, Modality.IR, Modality.SKETCH, Modality.TEXT
Row = tuple[str, str, Modality, Split, str | None, str | None]


def table_of(rows: Iterable[Row]) -> SampleTable:
    return SampleTable(*(list(column) for column in zip(*rows, strict=True)))


def everything(split: Split = Split.TEST) -> list[Row]:
    """Two people: two photographs and two infrared images by two cameras, two sketches and two captions each.

    The first sketch and the first caption were made from the first photograph; of the others nothing is known.
    """
    rows: list[Row] = []
    for person in ("ann", "bob"):
        for modality in (RGB, IR):
            rows += [(f"{split}/{person}/{modality}{c}", person, modality, split, c, None) for c in ("1", "2")]
        for modality in (SKETCH, TEXT):
            rows.append((f"{split}/{person}/{modality}1", person, modality, split, None, f"{split}/{person}/rgb1"))
            rows.append((f"{split}/{person}/{modality}2", person, modality, split, None, None))
    return rows


def counted(protocol: Protocol, table: SampleTable) -> dict[str, list[str]]:
    """Query -> the gallery samples of the same person that count, by a literal reading of the trial."""
    (trial,) = resolve(protocol, table)
    return {
        table.sample_id[q]: [
            table.sample_id[g]
            for g, code in zip(trial.gallery, trial.gallery_drop, strict=True)
            if table.person_id[g] == table.person_id[q] and not code == drop >= 0
        ]
        for q, drop in zip(trial.query, trial.query_drop, strict=True)
    }


def places(protocol: Protocol, table: SampleTable) -> list[int]:
    """Where positives stand if a sample is like itself and like nothing else."""
    (result,) = evaluate(protocol, table, np.eye(len(table), dtype=np.float32)).trials
    return result.ranking.places.tolist()


def test_without_published_protocols_each_pair_is_made_and_says_so() -> None:
    _, pairs = matrix_protocols(table_of(everything()), [])
    assert list(pairs) == [(query, gallery) for query in Modality for gallery in Modality]
    for (query, gallery), protocol in pairs.items():
        assert (protocol.query.modalities, protocol.gallery.modalities) == ((query,), (gallery,))
        assert protocol.name == f"{query}-to-{gallery}"
        assert protocol.notes == (NOTE,)


def test_a_published_protocol_of_one_modality_against_one_is_taken_as_it_is() -> None:
    published = Protocol(
        "paper",
        Select((IR,), (Split.TEST,), ("2",)),
        Select((RGB,), (Split.TEST,)),
        cmc=Cmc.IDENTITY,
        trials=3,
        sampling=Sampling(1, ("1", "2")),
    )
    _, pairs = matrix_protocols(table_of(everything()), [published])
    assert pairs[IR, RGB] is published
    assert pairs[RGB, IR].notes == (NOTE,)
    assert len(pairs) == 16


def test_the_first_of_several_published_ones_is_taken() -> None:
    one, other = cross_modal("one", IR, RGB), cross_modal("other", IR, RGB)
    assert matrix_protocols(table_of(everything()), [other, one])[1][IR, RGB] is other


@pytest.mark.parametrize(
    "published",
    [
        Protocol("p", Select((TEXT,), (Split.TEST,)), Select((RGB,), (Split.TEST,)), fuse=Fuse.PERSON),
        Protocol("p", Select((TEXT,), ()), Select((RGB,), (Split.TEST,)), query_groups=(("test/ann/text1",),)),
        Protocol("p", Select((TEXT,), (Split.TEST,)), Select((RGB,), ()), galleries=(("test/ann/rgb1",),)),
        Protocol("p", Select((TEXT, SKETCH), (Split.TEST,)), Select((RGB,), (Split.TEST,))),
        Protocol("p", Select((TEXT,), (Split.TEST,)), Select((RGB, IR), (Split.TEST,))),
        Protocol("p", Select((TEXT,), (Split.GALLERY,)), Select((RGB,), (Split.TEST,))),
    ],
    ids=["fused", "listed queries", "listed gallery", "two asking", "two asked", "no such samples"],
)
def test_other_published_protocols_do_not_stand_for_a_pair(published: Protocol) -> None:
    _, pairs = matrix_protocols(table_of(everything()), [published])
    assert pairs[TEXT, RGB].name == "text-to-rgb"
    assert len(pairs) == 16


def test_a_published_protocol_that_cannot_be_scored_leaves_its_place_to_the_next() -> None:
    nobody = cross_modal("nobody", IR, RGB, query_splits=(Split.QUERY,))
    somebody = cross_modal("somebody", IR, RGB)
    assert matrix_protocols(table_of(everything()), [nobody, somebody])[1][IR, RGB] is somebody


@pytest.mark.parametrize("modality", [SKETCH, TEXT])
def test_what_no_camera_saw_does_not_find_itself(modality: Modality) -> None:
    table, pairs = matrix_protocols(table_of(everything()), [])
    assert counted(pairs[modality, modality], table) == {
        f"test/{person}/{modality}{one}": [f"test/{person}/{modality}{other}"]
        for person in ("ann", "bob")
        for one, other in (("1", "2"), ("2", "1"))
    }
    # Each query's own embedding would stand first if it took part; as it does not, all others are equally alike.
    asked = [name for name in table.sample_id if f"/{modality}" in name]
    expected = []
    for query in asked:
        left = [name for name in asked if name != query]
        expected.append(1 + next(i for i, name in enumerate(left) if name[:-1] == query[:-1]))
    assert places(pairs[modality, modality], table) == expected


def test_sketches_made_from_one_photograph_do_not_find_each_other() -> None:
    rows: list[Row] = [(f"s{n}", "ann", SKETCH, Split.TEST, None, "photo") for n in range(3)]
    rows.append(("s3", "ann", SKETCH, Split.TEST, None, "another"))
    table, pairs = matrix_protocols(table_of(rows), [])
    alone = ["s0", "s1", "s2"]
    assert counted(pairs[SKETCH, SKETCH], table) == {**{name: ["s3"] for name in alone}, "s3": alone}


def test_what_was_made_from_a_photograph_does_not_find_it_nor_the_other_way() -> None:
    table, pairs = matrix_protocols(table_of(everything()), [])
    for modality in (SKETCH, TEXT):
        asks = counted(pairs[modality, RGB], table)
        assert asks["test/ann/" + modality + "1"] == ["test/ann/rgb2"]
        assert asks["test/ann/" + modality + "2"] == ["test/ann/rgb1", "test/ann/rgb2"]
        asked = counted(pairs[RGB, modality], table)
        assert asked["test/ann/rgb1"] == [f"test/ann/{modality}2"]
        assert asked["test/ann/rgb2"] == [f"test/ann/{modality}1", f"test/ann/{modality}2"]
    assert counted(pairs[SKETCH, TEXT], table)["test/ann/sketch1"] == ["test/ann/text2"]


def test_an_infrared_view_of_a_photograph_does_not_find_it_nor_the_other_way() -> None:
    rows: list[Row] = [
        ("photo", "ann", RGB, Split.TEST, "1", None),
        ("other", "ann", RGB, Split.TEST, "2", None),
        ("derived", "ann", IR, Split.TEST, None, "photo"),
        ("seen", "ann", IR, Split.TEST, "3", None),
    ]
    table, pairs = matrix_protocols(table_of(rows), [])
    assert counted(pairs[IR, RGB], table) == {"derived": ["other"], "seen": ["photo", "other"]}
    assert counted(pairs[RGB, IR], table) == {"photo": ["seen"], "other": ["derived", "seen"]}


def test_one_source_of_two_people_is_dropped_for_neither() -> None:
    # Two people on one photograph: bob's sketch is a wrong answer to ann's, and stays one.
    rows: list[Row] = [
        ("ann1", "ann", SKETCH, Split.TEST, None, "both"),
        ("ann2", "ann", SKETCH, Split.TEST, None, None),
        ("bob1", "bob", SKETCH, Split.TEST, None, "both"),
    ]
    table, pairs = matrix_protocols(table_of(rows), [])
    (trial,) = resolve(pairs[SKETCH, SKETCH], table)
    ann, _, bob = trial.gallery_drop.tolist()
    assert ann != bob
    assert trial.query_drop.tolist() == trial.gallery_drop.tolist()


@pytest.mark.parametrize("modality", [RGB, IR])
def test_images_of_one_camera_do_not_count_within_a_modality(modality: Modality) -> None:
    rows = everything()
    rows.append(("test/ann/again", "ann", modality, Split.TEST, "1", None))
    table, pairs = matrix_protocols(table_of(rows), [])
    asks = counted(pairs[modality, modality], table)
    assert asks[f"test/ann/{modality}1"] == [f"test/ann/{modality}2"]
    assert asks[f"test/ann/{modality}2"] == [f"test/ann/{modality}1", "test/ann/again"]


@pytest.mark.parametrize("modality", [RGB, IR])
def test_images_without_a_camera_do_not_find_themselves(modality: Modality) -> None:
    rows: list[Row] = [
        (f"{person}{n}", person, modality, Split.TEST, None, None) for person in ("ann", "bob") for n in "12"
    ]
    table, pairs = matrix_protocols(table_of(rows), [])
    for query, found in counted(pairs[modality, modality], table).items():
        assert query not in found


def test_a_sample_without_a_source_becomes_its_own_in_the_table_that_is_returned() -> None:
    given = table_of(everything())
    own, _ = matrix_protocols(given, [])
    assert list(own.source_id) == [s or n for s, n in zip(given.source_id, given.sample_id, strict=True)]
    assert None in given.source_id  # the table that was given stays as it was
    assert list(own.sample_id) == list(given.sample_id)


def test_published_query_and_gallery_lists_are_asked_and_found() -> None:
    rows: list[Row] = [
        ("q", "ann", RGB, Split.QUERY, "1", None),
        ("g", "ann", RGB, Split.GALLERY, "2", None),
        ("t", "ann", RGB, Split.TEST, "3", None),
        ("v", "ann", RGB, Split.VAL, "4", None),
        ("x", "ann", RGB, Split.TRAIN, "5", None),
    ]
    table, pairs = matrix_protocols(table_of(rows), [])
    assert counted(pairs[RGB, RGB], table) == {"q": ["g", "t"], "t": ["g"]}


def test_the_samples_of_the_splits_that_are_named_take_part_and_no_others() -> None:
    table, pairs = matrix_protocols(table_of([*everything(), *everything(Split.VAL)]), [], Split.VAL)
    assert len(pairs) == 16
    for protocol in pairs.values():
        for query, found in counted(protocol, table).items():
            assert query.startswith("val/")
            assert all(name.startswith("val/") for name in found)


def test_a_published_protocol_turned_to_validation_people_does_not_find_the_query() -> None:
    published = on_validation(cross_modal("paper", SKETCH, SKETCH))
    table, pairs = matrix_protocols(table_of([*everything(), *everything(Split.VAL)]), [published], Split.VAL)
    assert pairs[SKETCH, SKETCH] is published
    # Without the table's own sources the second sketch, of which no source is known, would find itself.
    assert counted(published, table)["val/ann/sketch2"] == ["val/ann/sketch1"]


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        # Nobody is seen in both modalities.
        (
            [("a", "ann", RGB, Split.TEST, "1", None), ("b", "bob", IR, Split.TEST, "2", None)],
            set(),
        ),
        # One photograph and the caption that describes it: the only positive does not count.
        (
            [("a", "ann", RGB, Split.TEST, "1", None), ("a#0", "ann", TEXT, Split.TEST, None, "a")],
            set(),
        ),
        # Two photographs by one camera answer a sketch but not each other.
        (
            [
                ("a", "ann", RGB, Split.TEST, "1", None),
                ("b", "ann", RGB, Split.TEST, "1", None),
                ("s", "ann", SKETCH, Split.TEST, None, None),
            ],
            {(SKETCH, RGB), (RGB, SKETCH)},
        ),
        # Queries alone: they ask, and there is nothing but the other list to be found.
        (
            [("q", "ann", IR, Split.QUERY, "1", None), ("g", "ann", RGB, Split.GALLERY, "2", None)],
            {(IR, RGB)},
        ),
        # Those who are trained on are not scored.
        (
            [("a", "ann", IR, Split.TRAIN, "1", None), ("b", "ann", RGB, Split.TRAIN, "2", None)],
            set(),
        ),
    ],
)
def test_pairs_that_cannot_be_scored_are_absent(rows: list[Row], expected: set[tuple[Modality, Modality]]) -> None:
    table, pairs = matrix_protocols(table_of(rows), [])
    assert set(pairs) == expected
    for protocol in pairs.values():
        assert evaluate(protocol, table, np.eye(len(table), dtype=np.float32)).trials[0].queries


def test_no_samples_give_no_pairs() -> None:
    assert matrix_protocols(SampleTable([], [], [], [], [], []), [cross_modal("p", IR, RGB)])[1] == {}
