"""CLIP as a reward, on a tiny random network: held to open_clip's own preprocessing and encoders."""

import json

import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from retouch import backends
from retouch.rewards.aesthetic import AestheticHead
from retouch.rewards.clip import clip_similarity
from retouch.simulators.aesthetic import load_aesthetic
from retouch.simulators.clip import ClipScorer

TINY = {
    "embed_dim": 16,
    "vision_cfg": {"image_size": 32, "layers": 2, "width": 32, "patch_size": 8, "head_width": 16},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1},
}
ROUNDING = 1.6 / 255 / 0.26  # Pillow rounds to bytes after each of two passes; over the smallest deviation
TEXTS = ["a red circle", "two blue squares", "a red circle and nothing else"]


@pytest.fixture(scope="module")
def scorer(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clip")
    (folder / "retouch-tiny.json").write_text(json.dumps(TINY))
    backends.open_clip().add_model_config(folder / "retouch-tiny.json")
    return ClipScorer("random:retouch-tiny")


def pictures(height, width, count=3):
    """Mosaics of whole bytes."""
    image = torch.rand(count, 3, height // 4, width // 4, generator=torch.Generator().manual_seed(height + width))
    return image.repeat_interleave(4, 2).repeat_interleave(4, 3).mul(255).round() / 255


def preprocessed_by_open_clip(images, scorer, **changes):
    """Through PIL, one by one."""
    library = backends.open_clip().transform
    config = library.PreprocessCfg(**{**scorer.clip.visual.preprocess_cfg, **changes})
    transform = library.image_transform_v2(config, is_train=False)
    pixels = images.mul(255).round().byte().permute(0, 2, 3, 1).numpy()
    return torch.stack([transform(Image.fromarray(picture)) for picture in pixels])


@pytest.mark.parametrize("height, width", [(32, 32), (64, 64), (20, 20), (48, 84), (100, 44)])
def test_preprocessing_is_open_clips(scorer, height, width):
    images = pictures(height, width)
    reference = preprocessed_by_open_clip(images, scorer)
    assert scorer.preprocess(images).sub(reference).abs().max() < ROUNDING


def test_squashing_is_open_clips_too(scorer):
    squashing = ClipScorer("random:retouch-tiny")
    squashing._resize = "squash"
    images = pictures(48, 84)
    reference = preprocessed_by_open_clip(images, scorer, resize_mode="squash")
    assert squashing.preprocess(images).sub(reference).abs().max() < ROUNDING
    assert squashing.preprocess(images).sub(scorer.preprocess(images)).abs().max() > 0.5


def test_embeddings_are_open_clips(scorer):
    images = pictures(48, 84)
    with torch.no_grad():
        reference = scorer.clip.encode_image(preprocessed_by_open_clip(images, scorer), normalize=True)
        tokens = backends.open_clip().get_tokenizer("retouch-tiny")(TEXTS)
        assert torch.allclose(scorer.embed_text(TEXTS), scorer.clip.encode_text(tokens, normalize=True))
    assert torch.allclose(scorer.embed_image(images), reference, atol=5e-3)
    assert torch.allclose(clip_similarity(scorer.embed_image(images), reference), torch.ones(3), atol=1e-4)
    assert torch.allclose(reference.norm(dim=1), torch.ones(3))


def test_gradients_reach_the_images_and_not_the_network(scorer):
    images = pictures(48, 48).mul(0.8).add(0.1).requires_grad_(True)
    clip_similarity(scorer.embed_image(images), scorer.embed_text(TEXTS)).sum().backward()
    assert (images.grad.abs().amax((1, 2, 3)) > 0).all()
    assert all(weight.grad is None for weight in scorer.parameters())


def test_similarity_of_equal_opposite_and_right_angled():
    one, other = torch.tensor([[3.0, 0], [1, 1], [1, 0]]), torch.tensor([[1.0, 0], [-2, -2], [0, 5]])
    assert clip_similarity(one, other).tolist() == pytest.approx([1.0, -1.0, 0.0])


def test_a_random_model_is_always_the_same(scorer):
    torch.manual_seed(5)
    state = torch.get_rng_state()
    again = ClipScorer("random:retouch-tiny")
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(again.embed_text(TEXTS), scorer.embed_text(TEXTS))


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_a_checkpoint_by_its_path(scorer, tmp_path, suffix):
    weights = {name: weight * 1.5 for name, weight in scorer.clip.state_dict().items()}
    (torch.save if suffix == ".pt" else save_file)(weights, tmp_path / f"clip{suffix}")
    loaded = ClipScorer(f"retouch-tiny:{tmp_path / f'clip{suffix}'}")
    assert all(torch.equal(weights[name], weight) for name, weight in loaded.clip.state_dict().items())


@pytest.mark.parametrize("content", [b"", b"these are no weights at all", b"PK\x03\x04 nor are these"])
@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_a_corrupt_checkpoint_says_what_to_do(scorer, tmp_path, content, suffix):
    (tmp_path / f"clip{suffix}").write_bytes(content)
    with pytest.raises(ValueError, match="cannot be loaded .*: fetch them"):
        ClipScorer(f"retouch-tiny:{tmp_path / f'clip{suffix}'}")


def test_weights_of_another_model_say_so(scorer, tmp_path):
    torch.save({"visual.conv1.weight": torch.zeros(2)}, tmp_path / "clip.pt")
    with pytest.raises(ValueError, match="cannot be loaded"):
        ClipScorer(f"retouch-tiny:{tmp_path / 'clip.pt'}")


def test_missing_models_and_weights_say_what_there_is():
    with pytest.raises(ValueError, match="no CLIP model 'ViT-Q'.*ViT-B-32"):
        ClipScorer("ViT-Q")
    with pytest.raises(ValueError, match="no weights 'mine' for ViT-B-32.*laion2b_s34b_b79k"):
        ClipScorer("ViT-B-32:mine")


def test_weights_that_cannot_be_fetched_say_how_they_can(monkeypatch):
    def offline(*arguments, **options):
        raise RuntimeError("no network")

    monkeypatch.setattr(backends.open_clip(), "create_model", offline)
    with pytest.raises(ValueError, match=r"no network.*create_model\('ViT-B-32', 'openai'\).*ViT-B-32:PATH"):
        ClipScorer("ViT-B-32")


def test_openais_weights_get_openais_activation(monkeypatch):
    asked = {}

    def spy(model, weights, force_quick_gelu):
        asked[weights] = force_quick_gelu
        raise RuntimeError("seen")

    monkeypatch.setattr(backends.open_clip(), "create_model", spy)
    for weights in ("openai", "laion2b_s34b_b79k"):
        with pytest.raises(ValueError, match="seen"):
            ClipScorer(f"ViT-B-32:{weights}")
    assert asked == {"openai": True, "laion2b_s34b_b79k": False}


def test_the_aesthetic_head_has_the_published_names_and_shapes():
    shapes = {name: tuple(weight.shape) for name, weight in AestheticHead().state_dict().items() if "weight" in name}
    assert shapes == {
        "layers.0.weight": (1024, 768),
        "layers.2.weight": (128, 1024),
        "layers.4.weight": (64, 128),
        "layers.6.weight": (16, 64),
        "layers.7.weight": (1, 16),
    }


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_the_aesthetic_head_loads_frozen_and_is_linear_in_the_direction(tmp_path, suffix):
    torch.manual_seed(0)
    head = AestheticHead()
    (torch.save if suffix == ".pth" else save_file)(head.state_dict(), tmp_path / f"head{suffix}")
    loaded, one, other = load_aesthetic(tmp_path / f"head{suffix}"), *torch.eye(768)[:2]
    between = torch.stack([one, other, one + other, 5 * one])
    a, b, mixed, longer = loaded(between).tolist()
    offset = loaded.layers(torch.zeros(768)).item()
    assert mixed == pytest.approx((a + b - 2 * offset) / 2**0.5 + offset, abs=1e-6) and longer == pytest.approx(a)
    assert not any(weight.requires_grad for weight in loaded.parameters())
    assert torch.equal(loaded(between), loaded(between))  # no dropout


def test_a_missing_corrupt_or_foreign_aesthetic_head_is_refused(tmp_path):
    with pytest.raises(ValueError, match="no aesthetic head.*sac.logos.ava1-l14-linearMSE.pth"):
        load_aesthetic(tmp_path / "head.pth")
    (tmp_path / "head.pth").write_bytes(b"these are no weights at all")
    with pytest.raises(ValueError, match="is no file of weights"):
        load_aesthetic(tmp_path / "head.pth")
    torch.save({"layers.0.weight": torch.zeros(2, 2)}, tmp_path / "head.pth")
    with pytest.raises(ValueError, match="expected layers.0 to layers.7"):
        load_aesthetic(tmp_path / "head.pth")
