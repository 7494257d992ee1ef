"""The editor: guidance against its formula, the shipped kind, and a pipeline in the hub's layout against diffusers."""

import json
import shutil

import pytest
import torch
from safetensors.torch import save_file

from retouch import backends
from retouch.simulators.codec import PixelCodec
from retouch.simulators.ddim import DDIM
from retouch.simulators.editor import Editor, sample
from retouch.simulators.editors import embedded_editor, load_editor, save_editor

INSTRUCTIONS = ["remove the red circle", "make the blue square green"]


def images(size, count=2):
    return torch.rand(count, 3, size, size, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def editor():
    torch.manual_seed(0)
    return embedded_editor().eval()


@pytest.fixture(scope="module")
def call(editor):
    """Latent, time, condition and text of two edits."""
    torch.manual_seed(1)
    latent = torch.randn(2, *editor.latent_shape(32))
    text = editor.embed(editor.tokens(INSTRUCTIONS)).detach()
    return latent, torch.tensor([900, 300]), editor.encode(images(32)), text


def three(editor, latent, t, condition, text):
    """e(c, text), e(c, 0) and e(0, 0)."""
    empty = editor.embed(editor.tokens(["", ""]))
    pairs = ((condition, text), (condition, empty), (torch.zeros_like(condition), empty))
    return [editor.predict(latent, t, *pair) for pair in pairs]


def count_rows(editor, monkeypatch):
    rows = []
    predict = editor.predict
    monkeypatch.setattr(editor, "predict", lambda latent, *rest: rows.append(len(latent)) or predict(latent, *rest))
    return rows


def test_pixels_come_back_and_lie_about_0():
    image = images(16)
    code = PixelCodec().encode(image)
    assert code.shape == (2, 48, 4, 4)
    assert code[0, :16, 0, 0].tolist() == pytest.approx((2 * image[0, 0, :4, :4] - 1).flatten().tolist())
    torch.testing.assert_close(PixelCodec().decode(code), image)
    assert PixelCodec().decode(code + 5).max() == 1


@torch.no_grad()
@pytest.mark.parametrize("scale", [(7.5, 1.5), (1.0, 1.0), (4.0, 1.0), (2.0, 2.0), (0.0, 1.0), (0.0, 0.0)])
def test_guidance_is_the_papers(editor, call, scale):
    full, pictured, blank = three(editor, *call)
    wanted = blank + scale[1] * (pictured - blank) + scale[0] * (full - pictured)
    for cfg in ("full", "detach"):
        torch.testing.assert_close(editor.guided(*call, scale, cfg), wanted, rtol=1e-4, atol=1e-4)
    rows = torch.tensor([scale, (1.0, 1.0)])
    torch.testing.assert_close(editor.guided(*call, rows)[0], wanted[0], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(editor.guided(*call, rows)[1], full[1], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(editor.guided(*call, scale, "none"), full, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("scale", "branches"), [((7.5, 1.5), 3), ((4.0, 1.0), 2), ((2.0, 2.0), 2), ((1.0, 1.0), 1), ((0.0, 0.0), 1)]
)
def test_branches_that_cancel_are_not_computed(editor, call, monkeypatch, scale, branches):
    rows = count_rows(editor, monkeypatch)
    with torch.no_grad():
        editor.guided(*call, scale)
        editor.guided(*call, torch.tensor([scale, scale]))
        editor.guided(*call, scale, "none")
    assert rows == [2 * branches, 6, 2]


def test_gradients_flow_where_cfg_says(editor, call):
    weight = editor.unet.conv_out.weight

    def gradient(value):
        return torch.autograd.grad(value.sum(), weight)[0]

    full, pictured, blank = (gradient(output) for output in three(editor, *call))
    expected = {"full": 4 * full - 2.5 * pictured - 0.5 * blank, "detach": 4 * full, "none": full}
    for cfg, wanted in expected.items():
        found = gradient(editor.guided(*call, (4.0, 1.5), cfg))
        torch.testing.assert_close(found, wanted, rtol=1e-3, atol=1e-3 * wanted.abs().max().item())


def test_unknown_guidance_and_uneven_sizes_are_refused(editor, call):
    with pytest.raises(ValueError, match="full, detach, none"):
        editor.guided(*call, (1.0, 1.0), "half")
    with pytest.raises(ValueError, match="multiple of 4, got 30"):
        editor.latent_shape(30)


def test_sampling_depends_on_the_generator_alone(editor):
    ddim = DDIM(editor.schedule, steps=2)
    first, second, other = (
        sample(editor, ddim, images(32), INSTRUCTIONS, generator=torch.Generator().manual_seed(seed))
        for seed in (0, 0, 1)
    )
    assert torch.equal(first, second) and not torch.equal(first, other)
    assert first.shape == (2, 3, 32, 32) and 0 <= first.min() and first.max() <= 1
    by_tokens = sample(
        editor, ddim, images(32), editor.tokens(INSTRUCTIONS), generator=torch.Generator().manual_seed(0)
    )
    assert torch.equal(first, by_tokens)


def test_a_saved_editor_comes_back_in_half_precision(editor, tmp_path, call):
    path = tmp_path / "editor.safetensors"
    save_editor(editor, path)
    assert path.stat().st_size < 10e6
    loaded = load_editor(str(path))
    assert not loaded.training and not any(weight.requires_grad for weight in loaded.parameters())
    assert loaded.schedule == editor.schedule
    with torch.no_grad():
        torch.testing.assert_close(loaded.empty, editor.empty, rtol=1e-2, atol=1e-2)
        torch.testing.assert_close(loaded.predict(*call), editor.predict(*call), rtol=1e-2, atol=1e-2)


def test_files_that_hold_no_editor_are_refused(editor, tmp_path):
    path = tmp_path / "editor.safetensors"
    with pytest.raises(FileNotFoundError, match="retouch make-weights editor"):
        load_editor(str(path))
    path.write_bytes(b"\0" * 100)
    with pytest.raises(ValueError, match="cannot be read as safetensors"):
        load_editor(str(path))
    save_file({"x": torch.zeros(1)}, path)
    with pytest.raises(ValueError, match="holds no editor"):
        load_editor(str(path))
    save_file({"x": torch.zeros(1)}, path, {"editor": json.dumps({"words": ["hue"]})})
    with pytest.raises(ValueError, match="other words"):
        load_editor(str(path))


@pytest.mark.parametrize("scale", [(7.5, 1.5), (1.0, 1.0)])
def test_a_pipeline_edits_as_diffusers_does(hub, scale):
    """Also at (1, 1), where diffusers switches guidance off."""
    editor = load_editor(str(hub))
    pipe = backends.diffusers().StableDiffusionInstructPix2PixPipeline.from_pretrained(hub, safety_checker=None)
    pipe.set_progress_bar_config(disable=True)
    image = images(16)
    latents = torch.randn(2, *editor.latent_shape(16), generator=torch.Generator().manual_seed(3))
    theirs = pipe(
        INSTRUCTIONS,
        image=image,
        num_inference_steps=5,
        guidance_scale=scale[0],
        image_guidance_scale=scale[1],
        latents=latents,
        eta=0.0,
        output_type="pt",
    ).images
    ddim = DDIM(editor.schedule, steps=5, eta=0.0)
    mine = sample(editor, ddim, image, INSTRUCTIONS, scale, torch.Generator().manual_seed(3))
    assert theirs.std() > 0.01
    torch.testing.assert_close(mine, theirs, rtol=0, atol=1e-4)


def test_a_pipeline_in_half_precision_keeps_latents_in_float32(hub):
    editor = load_editor(str(hub), dtype=torch.bfloat16, attention_slicing=True)
    assert editor.unet.dtype == editor.empty.dtype == torch.bfloat16
    condition = editor.encode(images(16))
    text = editor.embed(editor.tokens(INSTRUCTIONS))
    output = editor.guided(torch.randn(condition.shape), torch.tensor([500, 1]), condition, text, (7.5, 1.5))
    assert condition.dtype == output.dtype == editor.decode(output).dtype == torch.float32


def test_the_safety_checker_blackens_what_it_flags(hub):
    latent = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    free, checked = load_editor(str(hub)), load_editor(str(hub), safety_checker=True)
    checker = checked.codec.checker.model
    checker.concept_embeds_weights.fill_(2.0)  # above any cosine: nothing is flagged
    checker.special_care_embeds_weights.fill_(2.0)
    torch.testing.assert_close(checked.decode(latent), free.decode(latent))
    checker.concept_embeds_weights.fill_(-2.0)
    assert checked.decode(latent).max() == 0 < free.decode(latent).max()


def test_what_is_no_pipeline_for_editing_is_refused(hub, tmp_path):
    with pytest.raises(ValueError, match="hf download nobody/nothing"):
        load_editor("nobody/nothing")
    copy = tmp_path / "pipe"
    copy.mkdir()
    index = json.loads((hub / "model_index.json").read_text())
    (copy / "model_index.json").write_text(json.dumps({**index, "_class_name": "StableDiffusionPipeline"}))
    with pytest.raises(ValueError, match="is a StableDiffusionPipeline: expected a StableDiffusionInstructPix2Pix"):
        load_editor(str(copy))


@pytest.mark.parametrize("part", ["unet/diffusion_pytorch_model", "text_encoder/model", "vae/diffusion_pytorch_model"])
def test_a_pipeline_with_a_corrupt_file_is_refused(hub, tmp_path, part):
    copy = tmp_path / "pipe"
    shutil.copytree(hub, copy)
    (copy / f"{part}.safetensors").write_bytes(b"\0" * 100)
    with pytest.raises(ValueError, match="cannot be read"):
        load_editor(str(copy))


def test_a_unet_that_sees_no_source_is_refused(editor):
    unet = backends.diffusers().UNet2DConditionModel.from_config({**editor.unet.config, "in_channels": 48})
    with pytest.raises(ValueError, match="not trained to edit"):
        Editor(unet, editor.text_encoder, PixelCodec(), editor.tokens, editor.schedule)
