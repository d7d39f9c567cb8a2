"""P x K batches: P people, K samples of each, dealt over modalities and cameras, whatever the number of processes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Generic, TypeVar

import numpy as np

from reid.errors import UserError
from reid.modality import Modality
from reid.sample import Sample

Card = TypeVar("Card")


class PeopleBatches:
    """Batches of row numbers for one process.

    A batch of all processes together holds `people` different people and `per_person` samples of each. A person's
    samples are dealt over the modalities that the person has, and within a modality over its cameras, from shuffled
    decks, so that nothing comes again before everything of its kind has come. Batches depend on seed and epoch alone;
    process r of n takes the r-th n-th of each batch's people, so n processes see what one would.

    Args:
        samples: what is trained on, in order; a batch holds indices into it.
        people: P, over all processes. If the data has fewer, all of them, down to a multiple of the processes.
        per_person: K.
        seed: of all that is random.
        process, processes: which of how many this is.

    Raises:
        UserError: `people` cannot be dealt to `processes`, or there are fewer people than processes, or fewer than 2.
    """

    def __init__(
        self,
        samples: Sequence[Sample],
        people: int,
        per_person: int,
        *,
        seed: int = 0,
        process: int = 0,
        processes: int = 1,
    ) -> None:
        self._rows: dict[str, dict[Modality, dict[str | None, list[int]]]] = {}
        for row, sample in enumerate(samples):
            of_person = self._rows.setdefault(sample.person_id, defaultdict(lambda: defaultdict(list)))
            of_person[sample.modality][sample.camera_id].append(row)
        if len(self._rows) < 2:
            raise UserError(f"{len(self._rows)} people to train on; expected at least 2, to tell apart")
        if people < 2:
            raise UserError("sampling.people: 1, but there is nobody to tell that person from; use at least 2")
        if people % processes:
            raise UserError(
                f"sampling.people: {people} cannot be dealt to {processes} processes; use a multiple of {processes}"
            )
        if people > len(self._rows):
            people = len(self._rows) // processes * processes
        if not people:
            raise UserError(f"{len(self._rows)} people to train on; {processes} processes need at least one each")
        self.people, self.per_person = people, per_person
        self.seed, self.process, self.processes = seed, process, processes
        self.epoch = 0
        self._steps = max(1, round(len(samples) / (people * per_person)))

    def __len__(self) -> int:
        """Batches of an epoch: as many as show about as many samples as there are."""
        return self._steps

    def set_epoch(self, epoch: int) -> None:
        """Which epoch `__iter__` gives."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[list[int]]:
        """This process's part of each batch of the epoch: the samples of a person follow each other."""
        share = self.people // self.processes
        for batch in self.batches(self.epoch):
            start = self.process * share * self.per_person
            yield batch[start : start + share * self.per_person]

    def batches(self, epoch: int) -> Iterator[list[int]]:
        """The whole batches of an epoch."""
        generator = np.random.default_rng([self.seed, epoch])
        people = _Deck(list(self._rows), generator)
        decks: dict[str, _PersonDeck] = {}
        for _ in range(self._steps):
            batch: list[int] = []
            for person in people.distinct(self.people):
                if person not in decks:
                    decks[person] = _PersonDeck(self._rows[person], generator)
                batch += [decks[person].draw() for _ in range(self.per_person)]
            yield batch


class _Deck(Generic[Card]):
    """Cards in random order; shuffled anew when it is used up."""

    def __init__(self, cards: list[Card], generator: np.random.Generator) -> None:
        self._cards, self._generator = cards, generator
        self._left: list[Card] = []

    def draw(self) -> Card:
        if not self._left:
            self._left = [self._cards[i] for i in self._generator.permutation(len(self._cards))]
        return self._left.pop()

    def distinct(self, count: int) -> list[Card]:
        """`count` different cards, at most as many as there are; those that come twice stay for the next hand."""
        hand: list[Card] = []
        again: list[Card] = []
        while len(hand) < count:
            card = self.draw()
            (again if card in hand else hand).append(card)
        self._left += again
        return hand


class _PersonDeck:
    """The samples of one person: modalities in turn, within a modality cameras in turn."""

    def __init__(self, rows: dict[Modality, dict[str | None, list[int]]], generator: np.random.Generator) -> None:
        self._modalities = _Deck(list(rows), generator)
        self._cameras = {modality: _Deck(list(cameras), generator) for modality, cameras in rows.items()}
        self._samples = {
            (modality, camera): _Deck(found, generator)
            for modality, cameras in rows.items()
            for camera, found in cameras.items()
        }

    def draw(self) -> int:
        modality = self._modalities.draw()
        return self._samples[modality, self._cameras[modality].draw()].draw()
