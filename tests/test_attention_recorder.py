"""What the recorder hears of a tiny UNet, against the numbers that diffusers itself attends with."""

import pytest
import torch

from retouch import backends
from retouch.simulators.attention import AttentionRecorder


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
