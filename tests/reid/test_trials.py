"""Protocols resolved against tables: who takes part, what is dropped, what a trial draws."""

from __future__ import annotations

import random

import pytest

from reid.errors import UserError
from reid.modality import Modality
from reid.protocol import Cmc, Drop, Fuse, Protocol, Sampling, Select, cross_modal
from reid.sample import Split
from reid.table import SampleTable, encode
from reid.trials import resolve

RGB, IR, SKETCH, TEXT = Modality.RGB, Modality.IR, Modality.SKETCH, Modality.TEXT


def table_of(*rows: tuple[str, str, Modality, Split, str | None, str | None]) -> SampleTable:
    return SampleTable(*(list(column) for column in zip(*rows, strict=True)))


def plain(protocol: Protocol, table: SampleTable) -> list[tuple[list[str], list[str]]]:
    """Per trial the sample ids of the queries' first members and of the gallery."""
    return [
        ([table.sample_id[i] for i in t.query], [table.sample_id[i] for i in t.gallery])
        for t in resolve(protocol, table)
    ]


SMALL = table_of(
    ("q1", "ann", RGB, Split.QUERY, "c1", "q1"),
    ("q2", "bob", RGB, Split.QUERY, None, None),
    ("g1", "ann", RGB, Split.GALLERY, "c1", "q1"),
    ("g2", "ann", RGB, Split.GALLERY, "c2", "g2"),
    ("g3", "bob", RGB, Split.GALLERY, None, None),
    ("g4", "eve", IR, Split.GALLERY, "c1", None),
    ("t1", "ann", RGB, Split.TRAIN, "c1", None),
)


def dropped(protocol: Protocol, table: SampleTable) -> list[list[str]]:
    """Per query of the first trial the gallery ids that do not count."""
    trial = next(iter(resolve(protocol, table)))
    return [
        [table.sample_id[i] for i, code in zip(trial.gallery, trial.gallery_drop, strict=True) if code == mine >= 0]
        for mine in trial.query_drop
    ]


def test_only_the_selected_samples_take_part() -> None:
    assert plain(cross_modal("p", RGB, RGB), SMALL) == [(["q1", "q2"], ["g1", "g2", "g3"])]
    only_c2 = Protocol("p", Select((RGB,), (Split.QUERY,)), Select((RGB,), (Split.GALLERY,), ("c2",)))
    assert plain(only_c2, SMALL) == [(["q1", "q2"], ["g2"])]


@pytest.mark.parametrize(
    ("drop", "expected"),
    [(Drop.NONE, [[], []]), (Drop.SAME_CAMERA, [["g1"], []]), (Drop.SAME_SOURCE, [["g1"], []])],
)
def test_what_does_not_count(drop: Drop, expected: list[list[str]]) -> None:
    assert dropped(cross_modal("p", RGB, RGB, drop=drop), SMALL) == expected


def test_same_location_drops_other_people_too() -> None:
    everyone = Select((RGB, IR), (Split.GALLERY,))
    places = (("c1", "hall"), ("c2", "yard"))
    protocol = Protocol("p", Select((RGB,), (Split.QUERY,)), everyone, Drop.SAME_LOCATION, locations=places)
    assert dropped(protocol, SMALL) == [["g1", "g4"], []]


def sysu_like() -> SampleTable:
    rows = []
    for person in ("0007", "0003"):
        for camera in ("2", "1"):
            # Files in descending order: the draw must sort them.
            rows += [(f"cam{camera}/{person}/{n}.jpg", person, RGB, Split.TEST, camera, None) for n in range(9, 0, -1)]
        rows.append((f"cam3/{person}/1.jpg", person, IR, Split.TEST, "3", None))
    return table_of(*rows)


@pytest.mark.parametrize("per_camera", [1, 4])
def test_a_trial_draws_what_the_reference_script_draws(per_camera: int) -> None:
    table = sysu_like()
    protocol = Protocol(
        "p",
        Select((IR,), (Split.TEST,)),
        Select((RGB,), (Split.TEST,)),
        trials=3,
        sampling=Sampling(per_camera, ("1", "2", "4")),
        cmc=Cmc.IDENTITY,
    )
    for seed, (_, gallery) in enumerate(plain(protocol, table)):
        random.seed(seed)  # literally what AGW's process_gallery_sysu does
        expected = []
        for person in sorted(["0003", "0007"]):
            for camera in ("1", "2"):
                files = sorted(f"cam{camera}/{person}/{n}.jpg" for n in range(1, 10))
                expected += [random.choice(files)] if per_camera == 1 else random.sample(files, per_camera)
        assert gallery == expected


def test_a_camera_with_fewer_images_than_are_drawn_gives_all_it_has() -> None:
    rows = [(f"1/{n}.jpg", "ann", RGB, Split.TEST, "1", None) for n in (1, 2)]
    rows += [(f"2/{n}.jpg", "ann", RGB, Split.TEST, "2", None) for n in range(9)]
    table = table_of(("3/0.jpg", "ann", IR, Split.TEST, "3", None), *rows)
    protocol = Protocol(
        "p", Select((IR,), (Split.TEST,)), Select((RGB,), (Split.TEST,)), trials=3, sampling=Sampling(4, ("1", "2"))
    )
    for _, gallery in plain(protocol, table):
        assert sorted(gallery[:2]) == ["1/1.jpg", "1/2.jpg"]
        assert len(set(gallery[2:])) == len(gallery[2:]) == 4
        assert all(name.startswith("2/") for name in gallery[2:])


def test_the_query_side_can_be_the_sampled_one() -> None:
    table = sysu_like()
    protocol = Protocol(
        "p",
        Select((RGB,), (Split.TEST,)),
        Select((IR,), (Split.TEST,)),
        trials=2,
        sampling=Sampling(1, ("1", "2"), side="query"),
    )
    for queries, gallery in plain(protocol, table):
        assert len(queries) == 4
        assert gallery == ["cam3/0007/1.jpg", "cam3/0003/1.jpg"]


FUSED = table_of(
    ("a.jpg", "ann", RGB, Split.TEST, None, "a.jpg"),
    ("a.jpg#0", "ann", TEXT, Split.TEST, None, "a.jpg"),
    ("a.jpg#1", "ann", TEXT, Split.TEST, None, "a.jpg"),
    ("s/a.png", "ann", SKETCH, Split.TEST, None, "a.jpg"),
    ("b.jpg#0", "bob", TEXT, Split.TEST, None, "b.jpg"),
    ("b.jpg", "bob", RGB, Split.TEST, None, "b.jpg"),
)


def groups(protocol: Protocol) -> list[list[str]]:
    trial = next(iter(resolve(protocol, FUSED)))
    bounds = zip(trial.query_offsets[:-1], trial.query_offsets[1:], strict=True)
    return [[FUSED.sample_id[row] for row in trial.query_members[a:b]] for a, b in bounds]


def test_fusing_by_source_joins_each_caption_with_its_sketch() -> None:
    queries = Select((TEXT, SKETCH), (Split.TEST,))
    protocol = Protocol("p", queries, Select((RGB,), (Split.TEST,)), Drop.SAME_SOURCE, fuse=Fuse.SOURCE)
    assert groups(protocol) == [["a.jpg#0", "s/a.png"], ["a.jpg#1", "s/a.png"]]
    assert dropped(protocol, FUSED) == [["a.jpg"], ["a.jpg"]]


def test_fusing_by_person_makes_one_query_of_each() -> None:
    protocol = Protocol("p", Select((TEXT,), (Split.TEST,)), Select((RGB,), (Split.TEST,)), fuse=Fuse.PERSON)
    assert groups(protocol) == [["a.jpg#0", "a.jpg#1"], ["b.jpg#0"]]


@pytest.mark.parametrize(("drop", "expected"), [(Drop.SAME_CAMERA, ["g1"]), (Drop.SAME_LOCATION, ["g1", "g3"])])
def test_a_fused_query_drops_by_its_first_member_that_has_a_camera(drop: Drop, expected: list[str]) -> None:
    table = table_of(
        ("told", "ann", TEXT, Split.QUERY, None, None),
        ("seen", "ann", IR, Split.QUERY, "c1", None),
        ("g1", "ann", RGB, Split.GALLERY, "c1", None),
        ("g2", "ann", RGB, Split.GALLERY, "c2", None),
        ("g3", "eve", RGB, Split.GALLERY, "c1", None),
    )
    protocol = Protocol(
        "p",
        Select((TEXT, IR), (Split.QUERY,)),
        Select((RGB,), (Split.GALLERY,)),
        drop,
        locations=(("c1", "hall"), ("c2", "yard")),
        query_groups=(("told", "seen"), ("told",)),
    )
    assert dropped(protocol, table) == [expected, []]


def test_explicit_lists_replace_selection() -> None:
    protocol = Protocol(
        "p",
        Select((TEXT,), ()),
        Select((RGB,), ()),
        trials=2,
        query_groups=(("b.jpg#0", "a.jpg#1"), ("a.jpg#0",)),
        galleries=(("b.jpg",), ("a.jpg", "b.jpg")),
    )
    assert groups(protocol) == [["b.jpg#0", "a.jpg#1"], ["a.jpg#0"]]
    assert [gallery for _, gallery in plain(protocol, FUSED)] == [["b.jpg"], ["a.jpg", "b.jpg"]]


def test_a_listed_sample_that_is_missing_is_named() -> None:
    protocol = Protocol("p", Select((TEXT,), ()), Select((RGB,), (Split.TEST,)), query_groups=(("gone#0",),))
    with pytest.raises(UserError, match="'gone#0'"):
        next(iter(resolve(protocol, FUSED)))


@pytest.mark.parametrize(("query", "gallery", "side"), [(SKETCH, RGB, "query"), (RGB, SKETCH, "gallery")])
def test_an_empty_set_says_what_was_wanted_and_found(query: Modality, gallery: Modality, side: str) -> None:
    with pytest.raises(UserError, match=f"empty {side} set: it wants sketch samples .* found .*2 rgb/query"):
        next(iter(resolve(cross_modal("p", query, gallery), SMALL)))


def test_codes_are_equal_exactly_for_equal_keys() -> None:
    assert encode(["b", None, "a", "b"]).tolist() == [0, -1, 1, 0]


def test_a_protocol_survives_json() -> None:
    import json

    protocol = Protocol(
        "p",
        Select((IR,), (Split.TEST,), ("3", "6")),
        Select((RGB,), (Split.TEST, Split.GALLERY)),
        Drop.SAME_LOCATION,
        Cmc.IDENTITY,
        10,
        Sampling(1, ("1", "2")),
        (("3", "x"),),
        Fuse.NONE,
        (("a", "b"),),
        None,
        ("note",),
        "paper",
    )
    assert Protocol.from_dict(json.loads(json.dumps(protocol.to_dict()))) == protocol


def test_a_protocol_with_an_unknown_key_is_refused() -> None:
    raw = cross_modal("p", RGB, RGB).to_dict() | {"colour": 1}
    with pytest.raises(UserError, match=r"f\.json: unknown key 'colour'"):
        Protocol.from_dict(raw, "f.json")


def test_trials_that_do_not_differ_are_a_bug() -> None:
    with pytest.raises(ValueError, match="nothing differs"):
        Protocol("p", Select((RGB,), ()), Select((RGB,), ()), trials=2)
