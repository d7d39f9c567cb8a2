"""Retrieval between edge and cloud: against loops over all pairs, and what is absent where the device cannot read."""

from __future__ import annotations

from dataclasses import replace
from math import isnan

import numpy as np
import pytest
from drawn_coordinates import by_loops, drawn

from distill.evaluation.coordinates import Coordinates
from distill.evaluation.prefix import prefix_curve
from distill.evaluation.scores import Direction, score, usable
from reid.matrix import main_gallery
from reid.modality import Modality

RGB, TEXT = Modality.RGB, Modality.TEXT


def embeddings(coordinates: Coordinates, direction: Direction) -> tuple[np.ndarray, np.ndarray]:
    """Who embeds which side, by its name."""
    if direction is Direction.TEACHER:
        return coordinates.teacher, coordinates.teacher
    query, _, gallery = direction.value.split()
    known = {"edge": coordinates.edge, "cloud": coordinates.cloud}
    return known[query], known[gallery]


@pytest.mark.parametrize("seed", range(3))
def test_every_pair_in_every_direction_is_what_loops_say(seed: int) -> None:
    coordinates = drawn(seed)
    scores = score(coordinates)
    assert len(scores.pairs) == 16
    for direction in Direction:
        asking, asked = embeddings(coordinates, direction)
        for pair, protocol in coordinates.pairs.items():
            found = scores.at(direction, pair)
            assert found is not None
            expected = by_loops(protocol, coordinates.table, asking, asked)
            assert (found.mean_ap, found.rank1, found.mean_inp) == pytest.approx(expected, abs=1e-9)


def test_without_a_text_student_the_device_neither_asks_by_sentences_nor_searches_them() -> None:
    coordinates = drawn(sentences_on_edge=False)
    scores = score(coordinates)
    for pair in coordinates.pairs:
        query, gallery = pair
        there = {direction for direction in Direction if scores.at(direction, pair) is not None}
        expected = {Direction.CLOUD_TO_CLOUD, Direction.TEACHER}
        if query is not TEXT:
            expected.add(Direction.EDGE_TO_CLOUD)
        if gallery is not TEXT:
            expected.add(Direction.CLOUD_TO_EDGE)
        if TEXT not in pair:
            expected.add(Direction.EDGE_TO_EDGE)
        assert there == expected


@pytest.mark.parametrize("on_edge", [True, False])
def test_what_is_deployed_is_the_device_and_the_cloud_where_it_must_be(on_edge: bool) -> None:
    coordinates = drawn(sentences_on_edge=on_edge)
    scores = score(coordinates)
    for query in Modality:
        by = Direction.CLOUD_TO_EDGE if query is TEXT and not on_edge else Direction.EDGE_TO_EDGE
        assert scores.deployed_direction(query) is by
        found, teacher = scores.at(by, (query, RGB)), scores.at(Direction.TEACHER, (query, RGB))
        assert scores.deployed((query, RGB)) is found
        assert found is not None
        assert teacher is not None
        assert scores.mean_ap()[query] == pytest.approx(100 * found.mean_ap)
        assert scores.kept((query, RGB)) == pytest.approx(found.mean_ap / teacher.mean_ap)
    across = [value for query, value in scores.mean_ap().items() if query is not RGB]
    assert len(across) == 3
    assert scores.mean_cross_modal() == pytest.approx(np.mean(across))
    assert isnan(scores.kept((RGB, TEXT))) != on_edge


def test_only_the_gallerys_own_modality_is_no_cross_modal_score() -> None:
    coordinates = drawn()
    alone = replace(coordinates, pairs={(RGB, RGB): coordinates.pairs[RGB, RGB]})
    assert isnan(score(alone).mean_cross_modal())


def test_the_gallery_is_rgb_or_what_another_modality_is_searched_in() -> None:
    pairs = drawn().pairs
    without = {pair: protocol for pair, protocol in pairs.items() if RGB not in pair}
    own = {pair: protocol for pair, protocol in without.items() if pair[0] is pair[1]}
    assert [main_gallery(some) for some in (pairs, without, own)] == [RGB, Modality.SKETCH, Modality.IR]


def test_a_sample_at_the_centre_gets_a_direction_and_one_that_is_not_known_none() -> None:
    rows = np.array([[0, 0], [1, -1], [np.nan, np.nan]], dtype=np.float32)
    before = rows.copy()
    np.testing.assert_array_equal(usable(rows), [[1, 1], [1, -1], [np.nan, np.nan]])
    np.testing.assert_array_equal(rows, before)


@pytest.mark.parametrize("on_edge", [True, False])
def test_a_prefix_scores_as_its_coordinates_alone(on_edge: bool) -> None:
    coordinates = drawn(3, sentences_on_edge=on_edge)
    curve = prefix_curve(coordinates)
    assert curve.lengths == (2, 3, 4)
    for query in Modality:
        protocol = coordinates.pairs[query, RGB]
        own = coordinates.cloud if query is TEXT and not on_edge else coordinates.edge
        for place, length in enumerate(curve.lengths):
            edge = by_loops(protocol, coordinates.table, own[:, :length], coordinates.edge[:, :length])
            cloud = by_loops(protocol, coordinates.table, *2 * [coordinates.cloud[:, :length]])
            assert curve.edge[query][place] == pytest.approx(100 * edge[0])
            assert curve.cloud[query][place] == pytest.approx(100 * cloud[0])


def test_a_curve_ends_with_all_coordinates_and_lengths_can_be_chosen() -> None:
    coordinates = drawn(4)
    scores = score(coordinates)
    curve = prefix_curve(coordinates, [3, 1, 99])
    assert curve.lengths == (1, 3, 4)
    for query in Modality:
        assert curve.edge[query][-1] == pytest.approx(scores.mean_ap(Direction.EDGE_TO_EDGE)[query])
        assert curve.cloud[query][-1] == pytest.approx(scores.mean_ap(Direction.CLOUD_TO_CLOUD)[query])
    assert [row["length"] for row in curve.rows()] == ["1", "3", "4"]


def test_a_single_coordinate_has_a_curve_too() -> None:
    coordinates = drawn()
    single = replace(coordinates, edge=coordinates.edge[:, :1], cloud=coordinates.cloud[:, :1])
    assert prefix_curve(single).lengths == (1,)
