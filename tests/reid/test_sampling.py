"""P x K batches: different people, samples dealt evenly, and the same batches for any number of processes."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Hashable, Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reid.errors import UserError
from reid.modality import Modality
from reid.sample import Sample, Split
from reid.sampling import PeopleBatches

RGB, IR, SKETCH, TEXT = Modality.RGB, Modality.IR, Modality.SKETCH, Modality.TEXT


def sample(name: str, person: str, modality: Modality, camera: str | None) -> Sample:
    if modality.is_image:
        return Sample(name, person, modality, Split.TRAIN, camera, image=Path(name))
    return Sample(name, person, modality, Split.TRAIN, camera, text=name)


def data_of(people: int, **copies: Sequence[int]) -> list[Sample]:
    """Each person with, for every named modality, so many samples by camera "0", "1" and so on."""
    return [
        sample(f"{person}/{modality}/{camera}/{copy}", f"{person:04d}", Modality(modality), str(camera))
        for person in range(people)
        for modality, counts in copies.items()
        for camera, count in enumerate(counts)
        for copy in range(count)
    ]


@st.composite
def data(draw: st.DrawFn, least: int = 2) -> list[Sample]:
    """Samples of a few people, each with some modalities, some cameras (or none) and some samples, in any order."""
    found = []
    for person in range(draw(st.integers(least, 9))):
        for modality in draw(st.lists(st.sampled_from(list(Modality)), min_size=1, max_size=4, unique=True)):
            cameras = st.sampled_from([None]) if modality is TEXT else st.sampled_from(["1", "2", "3", None])
            for camera in draw(st.lists(cameras, min_size=1, max_size=3, unique=True)):
                copies = draw(st.integers(1, 4))
                found += [
                    sample(f"{person}/{modality}/{camera}/{n}", f"p{person}", modality, camera) for n in range(copies)
                ]
    return list(draw(st.permutations(found)))


def is_dealt_in_rounds(dealt: Sequence[Hashable], everything: Sequence[Hashable]) -> bool:
    """Whether each card comes once before any comes twice, each twice before any comes three times, and so on."""
    counts = dict.fromkeys(everything, 0)
    for card in dealt:
        if counts[card] > min(counts.values()):
            return False
        counts[card] += 1
    return True


def dealt_to_each(batches: Sequence[Sequence[int]], samples: Sequence[Sample]) -> dict[str, list[Sample]]:
    """What each person was dealt, in order."""
    found = defaultdict(list)
    for row in (row for batch in batches for row in batch):
        found[samples[row].person_id].append(samples[row])
    return found


@settings(max_examples=60, deadline=None)
@given(data(), st.data())
def test_a_batch_is_p_different_people_with_k_samples_each(samples: list[Sample], more: st.DataObject) -> None:
    there = {s.person_id for s in samples}
    people, per_person = more.draw(st.integers(2, len(there))), more.draw(st.integers(1, 6))
    batches = list(PeopleBatches(samples, people, per_person, seed=more.draw(st.integers(0, 99))))
    assert batches
    for batch in batches:
        owners = [samples[row].person_id for row in batch]
        # A person's samples follow each other.
        assert [owners[i] for i in range(0, len(owners), per_person) for _ in range(per_person)] == owners
        assert Counter(owners) == dict.fromkeys(owners, per_person)
        assert len(set(owners)) == people


@settings(max_examples=60, deadline=None)
@given(data(), st.data())
def test_the_batches_of_the_processes_make_those_of_one(samples: list[Sample], more: st.DataObject) -> None:
    there = len({s.person_id for s in samples})
    processes = more.draw(st.integers(1, there))
    people = processes * more.draw(st.integers(1, there // processes))
    people = people if people > 1 else 2
    per_person, seed, epoch = more.draw(st.integers(1, 5)), more.draw(st.integers(0, 99)), more.draw(st.integers(0, 99))
    parts = [
        PeopleBatches(samples, people, per_person, seed=seed, process=process, processes=processes)
        for process in range(processes)
    ]
    whole = PeopleBatches(samples, people, per_person, seed=seed)
    for one in (whole, *parts):
        one.set_epoch(epoch)
    joined = [[row for part in batch for row in part] for batch in zip(*parts, strict=True)]
    assert joined == list(whole) == list(whole.batches(epoch))
    assert {len(part) for one in parts for part in one} == {people // processes * per_person}


@settings(max_examples=60, deadline=None)
@given(data(), st.data())
def test_nobody_comes_again_before_everybody_has_come(samples: list[Sample], more: st.DataObject) -> None:
    there = {s.person_id for s in samples}
    batches = list(PeopleBatches(samples, more.draw(st.integers(2, len(there))), 1, seed=more.draw(st.integers(0, 99))))
    assert is_dealt_in_rounds([samples[row].person_id for batch in batches for row in batch], sorted(there))


@settings(max_examples=60, deadline=None)
@given(data(), st.integers(1, 6), st.integers(0, 99))
def test_modalities_cameras_and_samples_come_in_rounds(samples: list[Sample], per_person: int, seed: int) -> None:
    batches = list(PeopleBatches(samples, 2, per_person, seed=seed))
    for person, dealt in dealt_to_each(batches, samples).items():
        own = [s for s in samples if s.person_id == person]
        assert is_dealt_in_rounds([s.modality for s in dealt], [s.modality for s in own])
        for modality in {s.modality for s in own}:
            of_modality = [s for s in dealt if s.modality is modality]
            cameras = {s.camera_id for s in own if s.modality is modality}
            assert is_dealt_in_rounds([s.camera_id for s in of_modality], list(cameras))
            for camera in cameras:
                kind = [s.sample_id for s in own if (s.modality, s.camera_id) == (modality, camera)]
                assert is_dealt_in_rounds([s.sample_id for s in of_modality if s.camera_id == camera], kind)


@pytest.mark.parametrize("per_person", [4, 8])
def test_every_batch_has_as_much_of_each_modality(per_person: int) -> None:
    # One modality has twenty times the samples of another.
    samples = data_of(6, rgb=(20, 20), ir=(4,), sketch=(2,), text=(9,))
    for batch in PeopleBatches(samples, 3, per_person):
        counts = Counter((samples[row].person_id, samples[row].modality) for row in batch)
        assert len(counts) == 3 * 4
        assert set(counts.values()) == {per_person // 4}


def test_a_camera_with_few_samples_comes_as_often_as_one_with_many() -> None:
    samples = data_of(4, rgb=(2, 40), ir=(3, 3))
    for batch in PeopleBatches(samples, 2, 4):
        counts = Counter((samples[row].person_id, samples[row].modality, samples[row].camera_id) for row in batch)
        assert len(counts) == 2 * 2 * 2
        assert set(counts.values()) == {1}


def test_modalities_that_do_not_fill_k_take_turns_over_the_batches() -> None:
    samples = data_of(2, rgb=(6,), ir=(6,), sketch=(6,))
    batches = list(PeopleBatches(samples, 2, 2))
    for dealt in dealt_to_each(batches[:3], samples).values():
        assert Counter(s.modality for s in dealt) == {RGB: 2, IR: 2, SKETCH: 2}


def test_people_who_lack_modalities_are_dealt_as_many_samples() -> None:
    samples = [*data_of(3, rgb=(2,), ir=(2,), text=(2,)), sample("drawn", "sketched only", SKETCH, None)]
    (batch, *_) = PeopleBatches(samples, 4, 6)
    owners = Counter(samples[row].person_id for row in batch)
    assert owners == {"0000": 6, "0001": 6, "0002": 6, "sketched only": 6}
    assert [samples[row].sample_id for row in batch].count("drawn") == 6


@settings(max_examples=40, deadline=None)
@given(data(), st.integers(1, 6))
def test_an_epoch_shows_about_as_many_samples_as_there_are(samples: list[Sample], per_person: int) -> None:
    batches = PeopleBatches(samples, 2, per_person)
    assert len(batches) == len(list(batches)) >= 1
    assert len(batches) == 1 or abs(len(batches) * 2 * per_person - len(samples)) <= per_person


def test_a_batch_larger_than_the_data_makes_an_epoch_of_one() -> None:
    (batch,) = PeopleBatches(data_of(3, rgb=(1,)), 3, 50)
    assert len(batch) == 150


def test_a_whole_epoch_of_fitting_batches_shows_every_sample_once() -> None:
    samples = data_of(8, rgb=(2, 2), ir=(2, 2))
    rows = [row for batch in PeopleBatches(samples, 4, 4, seed=3) for row in batch]
    assert sorted(rows) == list(range(len(samples)))


def test_seed_and_epoch_decide_alone() -> None:
    samples = data_of(12, rgb=(3, 3), ir=(3,))

    def batches(seed: int, epoch: int) -> list[list[int]]:
        made = PeopleBatches(samples, 4, 4, seed=seed)
        made.set_epoch(epoch)
        return list(made)

    assert batches(1, 2) == batches(1, 2)
    different = [batches(seed, epoch) for seed in range(3) for epoch in range(3)]
    assert all(one not in different[:place] for place, one in enumerate(different))


def test_set_epoch_changes_what_comes_next_and_can_go_back() -> None:
    made = PeopleBatches(data_of(12, rgb=(3, 3)), 4, 2)
    first, again = list(made), list(made)
    made.set_epoch(1)
    second = list(made)
    made.set_epoch(0)
    assert first == again == list(made) != second


def test_an_epoch_that_is_left_half_way_does_not_change_the_next() -> None:
    made = PeopleBatches(data_of(12, rgb=(3, 3)), 4, 2)
    whole = list(made)
    next(iter(made))
    assert list(made) == whole


@pytest.mark.parametrize(("there", "processes", "expected"), [(5, 1, 5), (5, 2, 4), (7, 3, 6), (8, 4, 8)])
def test_fewer_people_than_asked_for_fill_what_can_be_dealt(there: int, processes: int, expected: int) -> None:
    samples = data_of(there, rgb=(4,))
    parts = [PeopleBatches(samples, 12, 2, process=process, processes=processes) for process in range(processes)]
    assert {part.people for part in parts} == {expected}
    for batch in zip(*parts, strict=True):
        owners = {samples[row].person_id for part in batch for row in part}
        assert len(owners) == expected
        assert [len(part) for part in batch] == [expected // processes * 2] * processes


@pytest.mark.parametrize("there", [0, 1])
def test_one_person_cannot_be_told_apart(there: int) -> None:
    with pytest.raises(UserError, match=f"^{there} people to train on; expected at least 2, to tell apart$"):
        PeopleBatches(data_of(there, rgb=(4,)), 2, 2)


def test_people_who_cannot_be_dealt_to_the_processes() -> None:
    with pytest.raises(UserError, match=r"^sampling\.people: 10 cannot be dealt to 4 processes; use a multiple of 4$"):
        PeopleBatches(data_of(20, rgb=(2,)), 10, 2, processes=4)


def test_fewer_people_than_processes() -> None:
    with pytest.raises(UserError, match=r"^3 people to train on; 4 processes need at least one each$"):
        PeopleBatches(data_of(3, rgb=(2,)), 8, 2, processes=4)


def test_batches_of_one_person_have_nobody_to_tell_apart() -> None:
    with pytest.raises(UserError):
        PeopleBatches(data_of(20, rgb=(2,)), 1, 2)
