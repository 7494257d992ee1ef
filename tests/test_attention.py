"""Attention as a reward: the pure functions by hand, and what the recorder hears against diffusers' own numbers."""

import pytest
import torch

from retouch import backends
from retouch.rewards.attention import (
    aggregate,
    alignment,
    attention_probabilities,
    attention_target,
    choose_tokens,
    instructrl4pix,
    token_map,
)
from retouch.simulators.attention import AttentionRecorder

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


@pytest.fixture
def unet():
    torch.manual_seed(0)
    return (
        backends.diffusers()
        .UNet2DConditionModel(
            sample_size=8,
            in_channels=3,
            out_channels=3,
            down_block_types=("CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
            up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
            block_out_channels=(16, 32),
            layers_per_block=1,
            cross_attention_dim=12,
            attention_head_dim=2,
            norm_num_groups=4,
        )
        .eval()
    )


@pytest.fixture
def inputs():
    torch.manual_seed(1)
    return torch.randn(3, 3, 8, 8), torch.tensor([9, 400, 30]), torch.randn(3, 6, 12)


def add_lora(unet):
    adapter = backends.peft().LoraConfig(r=2, target_modules=["to_q", "to_k", "to_v"], init_lora_weights=False)
    unet.add_adapter(adapter)


def spied_probabilities(unet, inputs, monkeypatch):
    """What diffusers' plain processor multiplies the values by: one `[B * heads, N, L]` a cross-attention layer."""
    attention = backends.diffusers().models.attention_processor
    plain, seen = attention.Attention.get_attention_scores, []

    def spy(layer, *arguments):
        seen.append((layer.is_cross_attention, plain(layer, *arguments)))
        return seen[-1][1]

    monkeypatch.setattr(attention.Attention, "get_attention_scores", spy)
    processors = unet.attn_processors
    unet.set_attn_processor(attention.AttnProcessor())
    with torch.no_grad():
        unet(*inputs)
    unet.set_attn_processor(processors)
    return [scores for crossing, scores in seen if crossing]


@pytest.mark.parametrize("lora", [False, True])
@pytest.mark.parametrize("size, layers", [((8, 8), 3), ((4, 4), 4)])
def test_what_is_recorded_is_what_diffusers_attends_with(unet, inputs, monkeypatch, lora, size, layers):
    if lora:
        add_lora(unet)
    truth = [x for x in spied_probabilities(unet, inputs, monkeypatch) if x.shape[1] == size[0] * size[1]]
    assert len(truth) == layers
    with AttentionRecorder(unet, size) as recorder:
        unet(*inputs)
    mean = sum(x.view(3, 2, *size, 6).mean(1) for x in truth) / layers
    assert torch.allclose(recorder.mean(), mean.movedim(-1, 1), atol=1e-6)
    assert torch.allclose(recorder.mean().sum(1), torch.ones(3, *size), atol=1e-5)


@pytest.mark.parametrize("lora", [False, True])
def test_recording_changes_neither_outputs_nor_gradients(unet, inputs, lora):
    if lora:
        add_lora(unet)
    weight = next(p for p in reversed(list(unet.parameters())) if p.requires_grad)
    plain = unet(*inputs).sample
    (gradient,) = torch.autograd.grad(plain.square().sum(), weight)
    with AttentionRecorder(unet, (4, 4)) as recorder:
        recorded = unet(*inputs).sample
    assert torch.allclose(plain, recorded, atol=1e-6) and not recorder.mean().requires_grad
    assert torch.allclose(torch.autograd.grad(recorded.square().sum(), weight)[0], gradient, atol=1e-6)


def test_lora_moves_the_attention(unet, inputs):
    with AttentionRecorder(unet, (8, 8)) as recorder:
        unet(*inputs)
    before = recorder.mean()
    add_lora(unet)
    with recorder:
        unet(*inputs)
    assert (recorder.mean() - before).abs().max() > 1e-4


def test_the_mean_over_the_calls_of_a_block_which_starts_anew(unet, inputs):
    image, t, text = inputs
    recorder, alone = AttentionRecorder(unet, (4, 4)), []
    for step in (t, t + 100):
        with recorder:
            unet(image, step, text)
        alone.append(recorder.mean())
    with recorder:
        unet(image, t, text)
        unet(image, t + 100, text)
    assert torch.allclose(recorder.mean(), (alone[0] + alone[1]) / 2, atol=1e-6)
    assert not torch.allclose(alone[0], alone[1], atol=1e-6)


def test_the_conditional_rows_alone(unet, inputs):
    with AttentionRecorder(unet, (4, 4)) as everything:
        unet(*inputs)
    with AttentionRecorder(unet, (4, 4), slice(1)) as first, AttentionRecorder(unet, (4, 4), slice(1, None)) as rest:
        unet(*inputs)
    assert torch.allclose(torch.cat([first.mean(), rest.mean()]), everything.mean(), atol=1e-6)


def test_pictures_need_not_be_square(unet, inputs):
    with AttentionRecorder(unet, (4, 8)) as recorder:
        unet(torch.randn(3, 3, 4, 8), *inputs[1:])
    assert recorder.mean().shape == (3, 6, 4, 8)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_averaged_in_float32(unet, inputs, dtype):
    image, t, text = inputs
    with AttentionRecorder(unet, (4, 4)) as full:
        unet(*inputs)
    unet.to(dtype)
    with AttentionRecorder(unet, (4, 4)) as half:
        unet(image.to(dtype), t, text.to(dtype))
    assert half.mean().dtype == torch.float32
    assert torch.allclose(half.mean(), full.mean(), atol=0.02) and not torch.equal(half.mean(), full.mean())


def hooks(unet):
    return sum(len(module._forward_hooks) + len(module._forward_pre_hooks) for module in unet.modules())


def test_the_unet_is_left_as_it_was_also_by_an_exception(unet, inputs):
    with pytest.raises(RuntimeError):
        with AttentionRecorder(unet, (4, 4)):
            assert hooks(unet) == 14  # two projections in each of seven layers
            unet(inputs[0], inputs[1], torch.randn(3, 6, 13))  # a text too wide
    assert hooks(unet) == 0


def test_a_size_that_no_layer_has_is_said_with_those_there_are(unet, inputs):
    recorder = AttentionRecorder(unet, (5, 5))
    with pytest.raises(ValueError, match="called within"):
        recorder.mean()
    with recorder:
        unet(*inputs)
    with pytest.raises(ValueError, match="5 x 5 = 25 positions.*16, 64"):
        recorder.mean()


def test_a_network_without_text_is_refused():
    with pytest.raises(ValueError, match="Linear has no cross-attention"):
        AttentionRecorder(torch.nn.Linear(2, 2), (4, 4))
