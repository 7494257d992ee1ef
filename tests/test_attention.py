"""Attention as a reward, by hand."""

import pytest
import torch

from retouch.rewards.attention import (
    aggregate,
    alignment,
    attention_probabilities,
    attention_target,
    choose_tokens,
    instructrl4pix,
    token_map,
)

SPECIAL = (0, 1, 2)  # padding, begin, end
TEXT = torch.tensor([[1, 7, 5, 6, 8, 5, 2, 0], [1, 5, 9, 5, 6, 2, 0, 0]])


def random(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def square(size=8):
    mask = torch.zeros(1, 1, size, size)
    mask[..., : size // 2, : size // 2] = 1
    return mask


def test_probabilities_of_two_tokens():
    query, key = torch.tensor([[[1.0]]]), torch.tensor([[[0.0], [3.0]]])
    probabilities = attention_probabilities(query, key, heads=1, scale=1.0)
    assert probabilities.flatten().tolist() == pytest.approx([0.0474, 0.9526], abs=1e-4)


def test_heads_see_their_own_channels():
    query, key = torch.tensor([[[1.0, 0.0]]]), torch.tensor([[[0.0, 0.0], [9.0, 9.0]]])
    blind, seeing = attention_probabilities(query, key, heads=2, scale=1.0)[0].unbind()[::-1]
    assert blind.tolist() == [[0.5, 0.5]] and seeing[0, 1] > 0.99


def test_aggregate_is_the_mean_over_heads_layers_and_time():
    fine, coarse = torch.zeros(1, 2, 4, 4, 3), torch.ones(1, 1, 2, 2, 3)
    fine[:, 1] = 0.5  # 0.25 over its heads
    assert torch.equal(aggregate([fine, coarse], (4, 4)), torch.full((1, 3, 4, 4), 0.625))
    split = torch.zeros(1, 1, 1, 2, 1)
    split[..., 1, :] = 1  # bilinear: 1/4 and 3/4 lie between
    assert aggregate([split], (1, 4)).flatten().tolist() == [0.0, 0.25, 0.75, 1.0]


def test_content_is_all_but_the_special_tokens():
    assert choose_tokens("content", TEXT, SPECIAL).int().tolist() == [
        [0, 1, 1, 1, 1, 1, 0, 0],
        [0, 1, 1, 1, 1, 0, 0, 0],
    ]
    assert choose_tokens("all", TEXT, SPECIAL).all()


@pytest.mark.parametrize("phrase", [[[1, 5, 6, 2, 0], [1, 5, 6, 2, 0]], [[5, 6], [5, 6]]])
def test_the_object_is_where_its_words_follow_one_another(phrase):
    found = choose_tokens("object", TEXT, SPECIAL, torch.tensor(phrase))
    assert found.int().tolist() == [[0, 0, 1, 1, 0, 0, 0, 0], [0, 0, 0, 1, 1, 0, 0, 0]]


def test_the_object_is_found_every_time_it_is_named_and_phrases_may_differ_in_length():
    found = choose_tokens("object", TEXT, SPECIAL, torch.tensor([[1, 5, 2, 0, 0], [1, 9, 5, 6, 2]]))
    assert found.int().tolist() == [[0, 0, 1, 0, 0, 1, 0, 0], [0, 0, 1, 1, 1, 0, 0, 0]]


@pytest.mark.parametrize("phrase", [[4, 4], [1, 2], [6, 5]])  # not in the text, empty, in another order
def test_an_object_that_is_not_named_leaves_the_content(phrase):
    found = choose_tokens("object", TEXT[:1], SPECIAL, torch.tensor([phrase]))
    assert torch.equal(found, choose_tokens("content", TEXT[:1], SPECIAL))


def test_a_phrase_longer_than_the_text_is_not_in_it():
    found = choose_tokens("object", torch.tensor([[1, 5]]), SPECIAL, torch.tensor([[5, 6, 7, 8]]))
    assert found.tolist() == [[False, True]]


def test_token_map_averages_the_chosen():
    attention = torch.arange(3.0).view(1, 3, 1, 1).expand(2, 3, 2, 2)
    chosen = torch.tensor([[False, True, True], [False, False, False]])
    assert token_map(attention, chosen)[:, 0, 0, 0].tolist() == [1.5, 0.0]


def test_attention_to_all_tokens_rewards_nothing():
    mask = square()
    rewards = []
    for seed in range(5):
        probabilities = random(1, 2, 4, 4, 8, seed=seed).mul(9).softmax(-1)
        everything = token_map(aggregate([probabilities], (4, 4)), choose_tokens("all", TEXT[:1], SPECIAL))
        assert torch.allclose(everything, torch.full_like(everything, 1 / 8))
        rewards.append(alignment(everything, mask).item())
    assert rewards == pytest.approx([0.5] * 5)  # the root of the mask's share of the picture, wherever one looks


def test_alignment_of_the_mask_its_complement_and_half_of_it():
    mask = square()
    assert alignment(mask / 7, mask).item() == pytest.approx(1.0)
    assert alignment(1 - mask, mask).item() == 0.0
    half = mask * (torch.arange(8) < 2)
    assert alignment(half, mask).item() == pytest.approx(0.5**0.5)
    assert alignment(torch.zeros_like(mask), mask).item() == 0.0


def test_alignment_stretches_the_map_over_the_mask():
    assert 0.9 < alignment(square(4), square(16)).item() < 1.0


def test_the_three_targets():
    mask, reference = square(4), random(1, 1, 2, 2)
    assert torch.equal(attention_target("mask", mask), mask)
    stretched = attention_target("reference", mask, reference)
    assert stretched.shape == mask.shape and stretched[0, 0, 0, 0] == reference[0, 0, 0, 0]
    assert torch.equal(attention_target("masked_reference", mask, reference), stretched * mask)


def test_the_papers_reward_adds_the_two_parts():
    mask, source = square(), torch.zeros(1, 3, 8, 8)
    total = lambda change, **options: instructrl4pix(mask, mask, source + change, source, **options).item()
    assert total(0.05) == pytest.approx(1.0) and total(0.3) == pytest.approx(0.7)
    assert total(0.3, gate="hinge") == pytest.approx(0.8) and total(0.3, alpha=0.0) == pytest.approx(1.0)
    assert total(0.3, threshold=torch.tensor([0.4])) == pytest.approx(1.0)


def test_bad_names_are_refused():
    with pytest.raises(ValueError, match="content, object, all"):
        choose_tokens("nouns", TEXT, SPECIAL)
    with pytest.raises(ValueError, match="phrase"):
        choose_tokens("object", TEXT, SPECIAL)
    with pytest.raises(ValueError, match="mask, reference, masked_reference"):
        attention_target("box", square())
    with pytest.raises(ValueError, match="untrained"):
        attention_target("reference", square())
