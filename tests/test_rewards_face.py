"""What an edited face is worth, against numbers by hand."""

import pytest
import torch

from retouch.rewards.face import attribute_distance, gain, identity_distance, latent_distance, others_distance


def test_the_distance_of_latents_is_the_mean_square():
    point, goal = torch.tensor([[0.0, 1.0], [2.0, 2.0]]), torch.tensor([[0.0, 3.0], [2.0, 2.0]])
    assert latent_distance(point, goal).tolist() == [2.0, 0.0]


def test_the_distance_of_attributes_is_the_mean_of_degrees():
    degrees, wish = torch.tensor([[0, 1, 2, 3, 4]]), torch.tensor([[0.0, 3.0, 2.0, 0.0, 4.0]])
    assert attribute_distance(degrees, wish).tolist() == [1.0]


def test_others_are_those_that_the_wish_leaves():
    start = torch.tensor([[0.0, 1.0, 2.0, 3.0, 4.0]]).repeat(2, 1)
    wish = torch.tensor([[0.4, 3.0, 2.0, 3.0, 0.0], [5.0, 5.0, 5.0, 0.0, 0.0]])  # leaves 0, 2 and 3; leaves none
    degrees = torch.tensor([[1.0, 5.0, 2.5, 1.5, 0.0], [0.0, 0.0, 0.0, 0.0, 0.0]])
    assert others_distance(degrees, start, wish).tolist() == [1.0, 0.0]  # (1 + 0.5 + 1.5) / 3


def test_identity_is_told_by_the_angle():
    source = torch.tensor([[1.0, 0.0]]).repeat(3, 1)
    seen = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]])
    assert identity_distance(seen, source).tolist() == [0.0, 1.0, 2.0]


@pytest.mark.parametrize(("start", "expected"), [(1.0, [1.0, -1.0]), (torch.tensor([2.0, 4.0]), [0.5, -0.25])])
def test_a_gain_is_a_share_of_the_start(start, expected):
    assert gain(torch.tensor([3.0, 1.0]), torch.tensor([2.0, 2.0]), start).tolist() == expected


def test_no_way_to_go_is_no_division_by_zero():
    nothing = torch.zeros(2)
    assert gain(nothing, nothing, nothing).tolist() == [0.0, 0.0]
