"""Editing problems by name: the embedded ones, and what is no source."""

import pytest
import torch

from retouch.simulators.edits import KINDS, make_edits


def everything(edits):
    return edits[torch.arange(len(edits))]


def test_embedded_edits_have_exact_shapes_and_types():
    edits = make_edits("embedded:64")
    edit = edits[torch.tensor([3, 0, 3])]
    assert edit.source.shape == edit.target.shape == (3, 3, 32, 32) and edit.mask.shape == (3, 1, 32, 32)
    assert {edit.source.dtype, edit.target.dtype, edit.mask.dtype} == {torch.uint8} and edit.kind.dtype == torch.int64
    assert edit.mask.unique().tolist() == [0, 255]
    assert torch.equal(edit.source[0], edit.source[2]) and not torch.equal(edit.source[0], edit.source[1])
    assert edits.size == 32 and len(edits) == len(edits.instructions) == len(edits.captions) == 64


def test_objects_are_named_in_their_instructions():
    edits = make_edits("embedded:200")
    kinds = everything(edits).kind.tolist()
    for kind, text, named, caption in zip(kinds, edits.instructions, edits.objects, edits.captions, strict=True):
        assert len(named.split()) == 2 and named in text
        assert (named in caption) == (KINDS[kind] == "insertion")


def test_the_checker_of_the_embedded_edits_takes_an_index():
    edits = make_edits("embedded:40", split="test", seed=5)
    index = torch.tensor([7, 2, 31])
    target, source = edits[index].target.float() / 255, edits[index].source.float() / 255
    assert edits.check(target, index)["done"].tolist() == edits.check(target, index)["kept"].tolist() == [1, 1, 1]
    assert edits.check(source, index)["done"].tolist() == [0, 0, 0]
    assert edits.margin(target, index).tolist() == [1, 1, 1] and (edits.margin(source, index) < 0).all()
    assert edits.check(target, index.roll(1))["done"].sum() + edits.check(target, index.roll(1))["kept"].sum() < 6


def test_imperfect_edits_show_what_was_asked_every_other_time():
    """The checker still knows what was asked; all but the targets is as in the embedded world."""
    edits, exact = make_edits("imperfect:1000"), make_edits("embedded:1000")
    index = torch.arange(1000)
    verdict = edits.check(edits[index].target.float() / 255, index)
    assert (verdict["done"] * verdict["kept"]).mean().item() == pytest.approx(0.5, abs=0.05)
    assert edits.instructions == exact.instructions and torch.equal(edits[index].source, exact[index].source)


def test_seeds_and_splits_of_the_embedded_edits():
    assert len(make_edits(split="test")) == 256
    one, same = make_edits("embedded:9", seed=1), make_edits("embedded:300", seed=1)
    assert torch.equal(everything(one).source, everything(same).source[:9])
    assert one.instructions == same.instructions[:9]
    assert one.instructions != make_edits("embedded:9", seed=2).instructions
    train, test = (make_edits("embedded:3000", split=split) for split in ("train", "test"))
    problems = [set(zip(map(bytes, everything(edits).source.numpy()), edits.instructions, strict=True))
                for edits in (train, test)]  # fmt: skip
    assert not problems[0] & problems[1]


@pytest.mark.parametrize("source, arguments, message", [
    ("embedded:0", {}, "COUNT >= 1"),
    ("embedded", {"size": 64}, "32 pixels, not 64"),
    ("embedded", {"split": "all"}, "expected train or test"),
    ("embedded", {"split": "dev"}, "expected one of"),
    ("magicbrush:nowhere", {}, "'nowhere' is no folder"),
    ("nowhere", {}, r"expected embedded\[:COUNT\], magicbrush:PATH"),
])  # fmt: skip
def test_what_is_no_source_says_what_is_one(source, arguments, message):
    with pytest.raises(ValueError, match=message):
        make_edits(source, **arguments)
