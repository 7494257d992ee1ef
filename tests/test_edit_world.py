"""The embedded world of editing: its language, its problems and its exact checker."""

from dataclasses import fields, replace

import pytest
import torch
import torch.nn.functional as F

from retouch.simulators.edit_checker import SURE, check, margin
from retouch.simulators.edit_language import COLOURS, KINDS, LENGTH, SHAPES, WORDINGS, WORDS, tokens, understand
from retouch.simulators.edit_scenes import EMPTY, RADII, Scenes, silhouettes
from retouch.simulators.edit_world import corrupted, draw_problems

COUNT = 512


@pytest.fixture(scope="module")
def problems():
    return draw_problems(COUNT, seed=3)


def solved(image, problems):
    result = check(image, problems)
    return (result["done"] * result["kept"]).bool()


def blurred(image, deviation):
    taps = torch.exp(-torch.arange(-3.0, 4.0).square() / (2 * deviation**2))
    kernel = torch.outer(taps, taps) / taps.sum() ** 2
    padded = F.pad(image, (3, 3, 3, 3), mode="replicate").flatten(0, 1)[:, None]
    return F.conv2d(padded, kernel[None, None]).view_as(image)


def noisy(image, deviation):
    return image + deviation * torch.randn(image.shape, generator=torch.Generator().manual_seed(0))


def beside(problems, step):
    """[B, 4], true at the cell `step` after the edited one."""
    return problems.edited.roll(step, 1)


# the language


def test_tokens_are_places_in_the_vocabulary():
    assert len(WORDS) == len(set(WORDS)) <= 60 and WORDS[:3] == ("<pad>", "<bos>", "<eos>")
    table = tokens(["remove the red circle", ""])
    assert [WORDS[token] for token in table[0].tolist()] == [
        "<bos>", "remove", "the", "red", "circle", "<eos>", "<pad>", "<pad>", "<pad>", "<pad>",
    ]  # fmt: skip
    assert table.dtype == torch.int64 and table[1].tolist() == [1, 2] + [0] * (LENGTH - 2)


def test_tokens_name_what_they_do_not_know():
    with pytest.raises(ValueError, match="no 'crimson'"):
        tokens(["remove the crimson circle"])
    with pytest.raises(ValueError, match="9 words, expected at most 8"):
        tokens(["the " * 9])


@pytest.mark.parametrize("text, canonical", [
    ("Remove the red circle!", "remove the red circle"),
    ("erase red circle", "remove the red circle"),
    ("Put a  cyan cross in the bottom left.", "add a cyan cross on the bottom left"),
    ("swap the red circle for blue square", "replace the red circle with a blue square"),
    ("color the purple triangle yellow", "make the purple triangle yellow"),
])  # fmt: skip
def test_what_people_type_is_understood(text, canonical):
    assert understand(text).text() == canonical


@pytest.mark.parametrize("text", ["", "make it nicer", "remove the pink circle", "add a red circle on the left",
                                  "remove the red circle and the blue square"])  # fmt: skip
def test_what_is_not_understood_says_what_can_be_said(text):
    with pytest.raises(ValueError) as error:
        understand(text)
    for word in ("remove the OBJECT", "make the OBJECT COLOUR", *COLOURS, *SHAPES, "bottom right"):
        assert word in str(error.value)


def test_every_instruction_is_understood_and_fits(problems):
    said = problems.instructions()
    assert [understand(text) for text in said] == problems.requests()
    assert tokens(said).shape == (COUNT, LENGTH)
    spoken = {(request.kind, text.split()[0]) for request, text in zip(problems.requests(), said, strict=True)}
    assert len(spoken) == sum(len(wordings) for wordings in WORDINGS.values())


def test_instructions_and_captions_by_hand():
    cells = dict(radius=torch.zeros(1, 4, dtype=torch.int64), offset=torch.zeros(1, 4, dtype=torch.int64))
    scene = Scenes(torch.tensor([0]), torch.tensor([[0, EMPTY, 3, EMPTY]]), torch.tensor([[0, 0, 2, 0]]), **cells)
    done = replace(scene, shape=torch.tensor([[1, EMPTY, 3, EMPTY]]), colour=torch.tensor([[3, 0, 2, 0]]))
    problem = replace(draw_problems(1), source=scene, target=done, kind=torch.tensor([2]), cell=torch.tensor([0]),
                      wording=torch.tensor([0]))  # fmt: skip
    assert problem.instructions() == ["replace the red circle with a yellow square"]
    assert problem.captions() == ["a yellow square on the top left and a blue cross on the bottom left"]
    nothing = replace(problem, target=done.emptied(torch.ones(1, 4, dtype=torch.bool)))
    assert nothing.captions() == ["an empty picture"]


# the problems


def test_a_problem_depends_on_its_number_alone():
    many, few = draw_problems(3000, seed=1), draw_problems(50, seed=1, first=2000)
    assert torch.equal(many.target.pixels()[2000:2050], few.target.pixels())
    assert many.instructions()[2000:2050] == few.instructions()
    bad, some = corrupted(many, 0.5, seed=4), corrupted(few, 0.5, seed=4, first=2000)
    assert torch.equal(bad.pixels()[2000:2050], some.pixels())
    assert not torch.equal(draw_problems(50, seed=2).source.pixels(), draw_problems(50, seed=1).source.pixels())


def test_the_splits_share_no_scene():
    train, test = ({scene.tobytes() for scene in draw_problems(5000, seed, split).source.pixels().numpy()}
                   for seed, split in ((0, "train"), (1, "test")))  # fmt: skip
    again = {scene.tobytes() for scene in draw_problems(5000, 2, "test").source.pixels().numpy()}
    assert len(test & again) > 100 and not test & train  # single objects are few enough to come twice by chance
    with pytest.raises(ValueError, match="expected train or test"):
        draw_problems(1, split="all")


def test_problems_are_varied_and_well_posed(problems):
    large = draw_problems(20_000)
    for counts in (large.kind.bincount(), large.cell.bincount(), large.source.background.bincount(),
                   large.source.radius[large.source.shape < EMPTY].bincount(),
                   large.source.offset[large.source.shape < EMPTY].bincount()):  # fmt: skip
        assert counts.min() > 0.85 * counts.float().mean() and counts.max() < 1.15 * counts.float().mean()
    objects = (large.source.shape < EMPTY).sum(1)
    assert objects.unique().tolist() == [1, 2, 3]
    looks = torch.where(large.source.shape < EMPTY, large.source.look, 100 + torch.arange(4)).sort(1).values
    assert (looks[:, 1:] != looks[:, :-1]).all()  # an instruction names one object only
    occupied = (large.source.shape < EMPTY)[large.edited]
    assert torch.equal(occupied, large.kind != KINDS.index("insertion"))
    assert torch.equal((large.target.shape == EMPTY)[large.edited], large.kind == KINDS.index("removal"))
    assert (large.source.look != large.target.look)[large.edited].all()


def test_only_the_mask_changes(problems):
    changed = (problems.source.pixels() != problems.target.pixels()).any(1, keepdim=True)
    assert problems.mask().shape == (COUNT, 1, 32, 32) and (problems.mask().sum((1, 2, 3)) == 256).all()
    assert not (changed & ~problems.mask()).any() and changed.flatten(1).any(1).all()


def test_no_two_silhouettes_are_alike():
    pixels = silhouettes(RADII, [(0, 0), (0, 1), (1, 0)]).flatten(0, 2).flatten(1)
    assert len(torch.unique(pixels, dim=0)) == len(SHAPES) * len(RADII) * 3
    circle = silhouettes([4.5], [(0, 0)])[0, 0, 0]
    assert circle.sum().item() == pytest.approx(torch.pi * 4.5**2, rel=0.01)
    assert circle[8, 8] == 1 and circle[0, 0] == 0


# the checker


def test_the_answer_solves_and_the_source_does_not(problems):
    assert solved(problems.target.image(), problems).all()
    untouched = check(problems.source.image(), problems)
    assert not untouched["done"].any() and untouched["kept"].all()
    idle = replace(problems, target=problems.source)
    assert solved(problems.source.image(), idle).all()


@pytest.mark.parametrize("soften", [
    lambda image: blurred(image, 0.8), lambda image: noisy(image, 0.08), lambda image: image + 0.08,
    lambda image: noisy(blurred(image, 0.6), 0.05), lambda image: (255 * image).round() / 255,
])  # fmt: skip
def test_soft_but_right_edits_pass(problems, soften):
    assert solved(soften(problems.target.image()), problems).float().mean() > 0.99


@pytest.mark.parametrize("soften", [lambda image: image, lambda image: noisy(blurred(image, 0.6), 0.05)])
def test_every_other_look_in_the_edited_cell_fails(problems, soften):
    shown = problems[(problems.target.shape < EMPTY)[problems.edited].nonzero()[:, 0]]
    for shape in range(len(SHAPES)):
        for colour in range(len(COLOURS)):
            other = replace(shown.target, shape=(shown.target.shape + shape) % len(SHAPES),
                            colour=(shown.target.colour + colour) % len(COLOURS))  # fmt: skip
            result = check(soften(shown.target.where(shown.edited, other).image()), shown)
            assert result["done"].all() if shape == colour == 0 else not result["done"].any(), (shape, colour)
            assert result["kept"].all()
    missing = check(soften(shown.target.emptied(shown.edited).image()), shown)
    assert not missing["done"].any() and missing["kept"].all()


@pytest.mark.parametrize("step", [1, 2, 3])
def test_a_right_edit_in_another_place_fails(problems, step):
    elsewhere = beside(problems, step)
    misplaced = problems.source.where(elsewhere, problems.target.spread(problems.cell))
    assert not check(misplaced.image(), problems)["done"].any()


@pytest.mark.parametrize("step", [1, 2, 3])
def test_a_change_beside_is_not_kept(problems, step):
    elsewhere = beside(problems, step)
    empty = (problems.target.shape == EMPTY)[elsewhere]
    target, look = problems.target, problems.target.shape % EMPTY
    fresh = replace(target, shape=look)
    others = [replace(target, shape=(look + turn) % EMPTY) for turn in (1, 2, 3)]
    others += [replace(fresh, colour=(target.colour + turn) % 6) for turn in range(1, 6)]
    for other in others:  # in an empty cell an extra object, elsewhere another shape or colour
        assert not check(target.where(elsewhere, other).image(), problems)["kept"].any()
    removed = check(target.emptied(elsewhere).image(), problems)
    assert torch.equal(removed["kept"].bool(), empty) and removed["done"].all()


def test_a_second_object_or_a_stain_in_the_edited_cell_fails(problems):
    stained = problems.target.image()
    corner = {0: (0, 0), 1: (0, 29), 2: (29, 0), 3: (29, 29)}
    for cell, (row, column) in corner.items():
        at = (problems.cell == cell).nonzero()[:, 0]
        stained[at, :, row : row + 3, column : column + 3] = torch.tensor([1.0, 0.0, 1.0])[:, None, None]
    result = check(stained, problems)
    assert not result["done"].any() and result["kept"].all()


def test_half_an_edit_and_nonsense_fail(problems):
    half = torch.lerp(problems.source.image(), problems.target.image(), 0.5)
    assert solved(half, problems).float().mean() < 0.1
    for nonsense in (noisy(problems.target.image(), 0.5), torch.full((COUNT, 3, 32, 32), torch.nan)):
        assert not solved(nonsense, problems).any()
    others = problems.target.look.roll(1, 0)
    assert not solved(problems.target.image().roll(1, 0), problems)[(others != problems.target.look).any(1)].any()


def spoilt(problems):
    """From the answer to the source, each blurred: sharp enough at first, and at last nothing is done."""
    ends = [blurred(scene.image(), 0.8) for scene in (problems.target, problems.source)]
    return [torch.lerp(*ends, share) for share in (0.0, 0.1, 0.2, 0.3, 0.4, 1.0)]


def test_the_margin_is_above_zero_where_it_is_right(problems):
    problems = problems[torch.arange(128)]
    assert (margin(problems.target.image(), problems) == 1).all()
    for image in spoilt(problems):
        by = margin(image, problems)
        assert torch.equal(by >= 0, solved(image, problems)) and by.abs().max() <= 1
    assert not (margin(torch.full((128, 3, 32, 32), torch.nan), problems) >= 0).any()


def test_a_change_within_the_margin_changes_no_verdict(problems):
    problems = problems[torch.arange(128)]
    for image in spoilt(problems)[:5]:
        image = image.clamp(0.05, 0.95)  # so that no change is cut off
        change = 0.99 * SURE * margin(image, problems)[:, None, None, None] * torch.randn_like(image).sign()
        assert torch.equal(solved(image + change, problems), solved(image, problems))


def test_an_object_of_another_size_a_little_out_of_place_is_done(problems):
    inserted = problems[(problems.kind == 0).nonzero()[:, 0]]
    other = replace(inserted.target, radius=inserted.target.radius * 0 + 2, offset=inserted.target.offset * 0 + 8)
    assert solved(inserted.target.where(inserted.edited, other).image(), inserted).all()


def test_corrupted_targets_are_wrong_as_often_as_asked(problems):
    large = draw_problems(1500)
    assert not solved(corrupted(large, 1.0).image(), large).any()
    assert torch.equal(corrupted(large, 0.0).pixels(), large.target.pixels())
    assert solved(corrupted(large, 0.3).image(), large).float().mean().item() == pytest.approx(0.7, abs=0.04)
    result = check(corrupted(large, 1.0).image(), large)
    assert 0.15 < result["done"].mean() < 0.3 < result["kept"].mean() < 0.7


@pytest.mark.gpu
def test_problems_live_on_a_device(problems):
    moved = problems.to("cuda")
    assert all(getattr(moved.source, field.name).is_cuda for field in fields(Scenes))
    assert torch.equal(moved.target.pixels().cpu(), problems.target.pixels())
    assert solved(moved.target.image(), moved).all()
    assert torch.equal(corrupted(moved, 0.5).pixels().cpu(), corrupted(problems, 0.5).pixels())
