"""The published field's layout and step, and the walk along it on a world that is a ruler."""

import pytest
import torch
from torch import nn

from retouch.simulators.semantic_field import FieldFunction, SideBySide, by_attribute, field_edit, field_steps, padded


class Ruler:
    """A face is five numbers, its degrees; a step of the field adds 0.4 to one of them."""

    def __init__(self, stride=0.4):
        self.stride = stride

    def point(self, latent):
        return latent

    def move(self, latent, edit):
        return latent + edit

    def steps(self, latent, edit, attribute, direction, count):
        field = self.stride * nn.functional.one_hot(attribute, 5)
        return field_steps(lambda _: field, latent, edit, direction, count)


def judge(latent):
    """The degree is the nearest whole number; the nearer, the more confident."""
    degrees = latent.round().clamp(0, 5)
    return degrees.long(), 1 - (latent - degrees).abs()


def walk(start, target, attribute=0, stride=0.4, **settings):
    """The edit of the attribute alone, and the two exceptions, of one lane."""
    latent = torch.zeros(1, 5)
    latent[0, attribute] = start
    result = field_edit(
        Ruler(stride), latent, torch.tensor([attribute]), torch.tensor([float(target)]), judge, **settings
    )
    others = [place for place in range(5) if place != attribute]
    assert not result.edit[0, others].any()
    return round(result.edit[0, attribute].item(), 4), result.already_there.item(), result.cannot.item()


def test_walks_until_the_target_is_passed_and_keeps_the_most_confident_sample_of_it():
    # 0, .4, .8, 1.2, 1.6, 2.0, 2.4, 2.8: passed; of 1.6, 2.0 and 2.4 the middle one is seen most clearly
    assert walk(0, 2) == (2.0, False, False)
    assert walk(0, 2, attribute=4) == (2.0, False, False)
    # 4, 3.6, 3.2, 2.8, 2.4: passed; of 3.2 and 2.8, equally clear, the first
    assert walk(4, 3) == (-0.8, False, False)


def test_stops_as_soon_as_it_reaches_either_end():
    assert walk(3.2, 5) == (1.6, False, False)  # at 4.8, and no further
    assert walk(1.8, 0) == (-1.6, False, False)  # at 0.2


def test_a_degree_that_was_jumped_over():
    # 1, 2.9: past 2 without having seen it, so the sample beyond
    assert walk(1, 2, stride=1.9) == (1.9, False, False)
    # 0, 1.2, 2.4, 3.6: past 3 without having seen it, so the last degree before it
    assert walk(0, 3, stride=1.2) == (2.4, False, False)


def test_already_there_and_cannot():
    assert walk(3.1, 3) == (0, True, False)
    assert walk(0, 2, stride=0.004) == (0, False, True)  # a hundred steps of it are 0.4
    assert walk(0, 2, stride=0.006) == (1.002, False, False)  # of 0.6, and the count begins anew


def test_trials_count_the_steps_in_which_the_degree_stays():
    # 0.2, 0.4 are two steps of no change; 0.6 is the third, and shows 1
    assert walk(0, 1, stride=0.2, trials=2) == (0, False, True)
    # then 0.8, 1.0 are two more; the walk ends before 1 is passed, and keeps 1.0
    assert walk(0, 1, stride=0.2, trials=3)[0] == 1.0


def test_lanes_are_independent_of_each_other():
    latent = torch.zeros(5, 5)
    latent[1, 3], latent[2, 2] = 4, 3
    attribute = torch.tensor([0, 3, 2, -1, 1])
    target = torch.tensor([2.0, 3.0, 3.0, 5.0, 0.4])
    result = field_edit(Ruler(), latent, attribute, target, judge)
    expected = torch.zeros(5, 5)
    expected[0, 0], expected[1, 3] = 2.0, -0.8
    torch.testing.assert_close(result.edit, expected)
    assert result.already_there.tolist() == [False, False, True, False, True]
    assert result.cannot.tolist() == [False] * 5


def test_lanes_that_have_arrived_are_no_longer_looked_at():
    looked = []

    def watched(latent):
        looked.append(len(latent))
        return judge(latent)

    latent = torch.zeros(3, 5)
    latent[1] = 4.4
    field_edit(Ruler(), latent, torch.tensor([0, 0, -1]), torch.tensor([1.0, 5.0, 5.0]), watched)
    # all at the start; then 4.8 has arrived at once, and 0.4, 0.8, 1.2, 1.6 goes on alone
    assert looked == [3, 2, 1, 1, 1]


@pytest.mark.parametrize("ahead", [2, 3, 8, 50])
def test_steps_judged_together_lead_where_single_ones_do(ahead):
    def unsteady(latent):
        """Sees degrees come and go; how clearly, changes all the time."""
        degrees = (latent + 0.9 * torch.sin(7 * latent)).round().clamp(0, 5)
        return degrees.long(), torch.sin(31 * latent).abs()

    lanes = 400
    random = torch.Generator().manual_seed(0)
    latent = 5 * torch.rand(lanes, 5, generator=random)
    attribute = torch.randint(-1, 5, (lanes,), generator=random)
    target = torch.randint(6, (lanes,), generator=random).float()
    for stride in (0.03, 0.4, 1.3):
        given = (Ruler(stride), latent, attribute, target, unsteady)
        single, together = field_edit(*given, trials=9), field_edit(*given, trials=9, ahead=ahead)
        assert torch.equal(single.edit, together.edit) and torch.equal(single.cannot, together.cannot)
        assert single.edit.any(1).float().mean() > 0.2
        known = field_edit(*given, trials=9, ahead=ahead, labels=unsteady(latent)[0])
        assert torch.equal(known.edit, together.edit) and torch.equal(known.already_there, single.already_there)


def test_the_field_has_the_published_layout():
    with torch.device("meta"):
        weights = FieldFunction().state_dict()
    names = [f"field.{layer}.Linear.{kind}" for layer in range(8) for kind in ("weight", "bias")]
    assert list(weights) == names
    assert {tuple(value.shape) for value in weights.values()} == {(512, 512), (512,)}
    assert sum(value.numel() for value in weights.values()) == 2_101_248
    small = FieldFunction(size=40, layers=3, hidden=16).state_dict()
    assert [tuple(value.shape) for value in small.values()] == [(16, 40), (16,), (16, 16), (16,), (40, 16), (40,)]


def test_the_field_is_linear_layers_with_leaks_between_and_none_at_the_end():
    field = FieldFunction(size=2, layers=2, hidden=2)
    state = {
        "field.0.Linear.weight": torch.eye(2),
        "field.0.Linear.bias": torch.zeros(2),
        "field.1.Linear.weight": -torch.eye(2),
        "field.1.Linear.bias": torch.tensor([0.0, 1.0]),
    }
    field.load_state_dict(state)
    torch.testing.assert_close(field(torch.tensor([[3.0, -5.0]])), torch.tensor([[-3.0, 2.0]]))


def test_steps_add_up_from_where_an_edit_has_led():
    point, edit = torch.tensor([[1.0], [1.0]]), torch.tensor([[0.0], [3.0]])
    # 1 doubles to 2, to 4; 4 less 4 is 0, and stays there
    edits = field_steps(lambda point: point, point, edit, torch.tensor([1.0, -1.0]), 2)
    assert (point[:, None] + edits).tolist() == [[[2.0], [4.0]], [[0.0], [0.0]]]


def test_lanes_are_asked_by_attribute_and_put_back():
    asked = []

    def function(place, value):
        asked.append((place, value.tolist()))
        return 10 * place + value

    assert by_attribute(function, torch.tensor([2, 0, 2, 1]), torch.arange(4)).tolist() == [20, 1, 22, 13]
    assert asked == [(0, [1]), (1, [3]), (2, [0, 2])]


def test_lanes_are_filled_up_by_attribute_and_put_back():
    asked = []

    def function(value):
        asked.append(value.tolist())
        return 10 * value

    assert padded(function, torch.tensor([2, 0, 2, 1]), 4, torch.arange(1, 5)).tolist() == [10, 20, 30, 40]
    assert asked == [[2, 0, 4, 0, 1, 3, 0, 0]]


def test_fields_side_by_side_are_the_fields():
    fields = [FieldFunction(size=6, layers=3, hidden=8) for _ in range(4)]
    points = torch.randn(4, 5, 6)
    expected = torch.cat([field(point) for field, point in zip(fields, points, strict=True)])
    torch.testing.assert_close(SideBySide(fields)(points.flatten(0, 1)), expected)


@pytest.mark.parametrize("target", [6.0, 5.2])
def test_targets_are_degrees(target):
    assert walk(3.2, target) == walk(3.2, 5)
