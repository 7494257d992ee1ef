"""What ImageEdit rewards and measures beyond pixels: attention against the editor before training, CLIP, JPEG."""

import json
from dataclasses import replace
from functools import partial

import pytest
import torch
from torch.nn.functional import interpolate

from retouch import backends
from retouch.envs import edit_scores
from retouch.envs.random import LaneRandom
from retouch.rewards.aesthetic import AestheticHead
from retouch.rewards.attention import alignment
from retouch.rewards.clip import clip_similarity
from retouch.simulators.adapters import add_adapter
from retouch.simulators.clip import ClipScorer
from retouch.simulators.jpeg import jpeg_kilobytes

STEPS, LANES = 2, 3
TINY = {
    "vision_cfg": {"image_size": 32, "layers": 1, "width": 32, "patch_size": 16, "head_width": 16},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1},
}
CLIP = "random:retouch-edits-768"


@pytest.fixture
def make(edit_task):
    return partial(edit_task, edits="embedded:12", steps=STEPS)


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """Our own tiny CLIP, of the embeddings' usual length and of another."""
    folder = tmp_path_factory.mktemp("clip")
    for width in (768, 16):
        config = folder / f"retouch-edits-{width}.json"
        config.write_text(json.dumps(TINY | {"embed_dim": width}))
        backends.open_clip().add_model_config(config)
    return ClipScorer(CLIP)


@pytest.fixture(scope="module")
def head(tmp_path_factory):
    """The path of an untrained aesthetic head, and the head."""
    torch.manual_seed(3)
    made, path = AestheticHead().eval(), tmp_path_factory.mktemp("aesthetic") / "head.pth"
    torch.save(made.state_dict(), path)
    return str(path), made


def played(task, policy, options=None):
    """The last state and the last reward's terms of an episode."""
    rng = LaneRandom.seeded(range(LANES))
    state = task.initial(rng, options or {})
    for _ in range(STEPS):
        state, terms = task.step(state, policy(state), rng)
    return state, terms


def answer(task):
    return lambda state: task.editor.encode(state.target.float() / 255)


def noise(state):
    return torch.randn(state.latent.shape, generator=torch.Generator().manual_seed(0))


def add_trained_adapter(editor):
    add_adapter(editor, rank=2)
    shake(editor)


def shake(editor):
    """As if the parameters that are to be trained had been; all of the denoiser's, without an adapter."""
    torch.manual_seed(2)
    chosen = [p for p in editor.unet.parameters() if p.requires_grad] or list(editor.unet.parameters())
    for parameter in chosen:
        parameter.data += 0.5 * torch.randn_like(parameter)


@pytest.mark.parametrize("train", [add_trained_adapter, shake], ids=["adapter", "all weights"])
def test_the_reference_is_the_editor_before_training(make, train):
    task = make(reward="attention", target="reference")
    before, terms = played(task, noise)
    torch.testing.assert_close(terms["reward/attention"], torch.ones(LANES))
    train(task.editor)
    after, terms = played(task, noise)
    torch.testing.assert_close(after.reference, before.reference)
    assert ((after.attention - before.attention).abs().amax((1, 2, 3)) > 1e-3).all()
    assert (terms["reward/attention"] < 1 - 1e-5).all()


def test_the_reference_within_the_mask(make):
    task = make(reward="attention", target="masked_reference")
    state, _ = played(task, noise)
    torch.testing.assert_close(state.reference, state.attention)
    torch.manual_seed(4)
    state = replace(state, reference=torch.rand_like(state.reference))
    resized = interpolate(state.reference, (32, 32), mode="bilinear", align_corners=False)
    scored = task.scores.rewards(task.image(state), state)["attention"]
    torch.testing.assert_close(scored, alignment(state.attention, resized * (state.mask == 255)))
    assert (scored - alignment(state.attention, resized)).abs().min() > 0.1
    assert (scored - alignment(state.attention, state.mask / 255)).abs().min() > 0.001


def test_the_editor_is_copied_only_to_be_compared_with_and_then_only_its_denoiser(make):
    assert make(reward="attention").untrained is None and make(target="reference").untrained is None
    task = make(reward="attention", target="reference")
    assert task.untrained.text_encoder is task.editor.text_encoder and task.untrained.codec is task.editor.codec
    pairs = zip(task.untrained.unet.parameters(), task.editor.unet.parameters(), strict=True)
    assert all(torch.equal(one, other) and one is not other for one, other in pairs)


def test_sharing_has_the_same_editor_watched(make):
    task, other = (make(reward="attention", target="reference", seed=seed) for seed in (0, 1))
    reference = other.untrained.unet.state_dict()
    other.share(task)
    assert other.editor is task.editor and other.untrained is task.untrained
    assert other.model_calls == ((task.editor, "predict"),)
    assert all(torch.equal(weight, reference[name]) for name, weight in task.untrained.unet.state_dict().items())
    add_trained_adapter(task.editor)
    state, _ = played(other, noise)
    assert ((state.attention - state.reference).abs().amax((1, 2, 3)) > 1e-3).all()


def test_clip_compares_with_the_caption_and_with_the_answer(make, clip):
    task = make(reward={"clip": 2.0, "l1": -1.0}, clip=CLIP)
    state, terms = played(task, noise)
    shown = clip.embed_image(task.image(state))
    said = clip.embed_text([task.edits.captions[i] for i in state.problem.tolist()])
    told = task.metrics(state)
    torch.testing.assert_close(told["clip_t"], clip_similarity(shown, said))
    torch.testing.assert_close(terms["reward/clip"], 2 * told["clip_t"])
    torch.testing.assert_close(told["clip_i"], clip_similarity(shown, clip.embed_image(state.target / 255)))
    assert told["clip_t"].unique().numel() == LANES and (told["clip_i"] < 0.9999).all()
    state, _ = played(task, answer(task))
    torch.testing.assert_close(task.metrics(state)["clip_i"], torch.ones(LANES))


def test_a_caption_is_embedded_once_and_only_if_it_is_asked_for(make, clip, monkeypatch):
    read, embed = [], ClipScorer.embed_text
    monkeypatch.setattr(ClipScorer, "embed_text", lambda self, texts: read.extend(texts) or embed(self, texts))
    task = make(reward="clip", clip=CLIP)
    read.clear()
    state, _ = played(task, noise, {"index": [4, 2, 4]})
    task.metrics(state), played(task, noise, {"index": 2})
    assert sorted(read) == sorted(task.edits.captions[i] for i in (2, 4))
    task.metrics(played(task, noise, {"index": [2, 3, 4]})[0])
    assert read[2:] == [task.edits.captions[3]]


def test_a_picture_of_ones_own_has_no_caption(make, clip):
    task = make(reward="clip", clip=CLIP)
    asked = {"image": torch.zeros(32, 32, 3, dtype=torch.uint8).numpy(), "instruction": "remove the red circle"}
    state, terms = played(task, noise, asked)
    told = task.metrics(state)
    assert not terms["reward/clip"].any() and told["clip_t"].isnan().all() and told["clip_i"].isfinite().all()


def test_nothing_is_loaded_unasked(make, monkeypatch):
    def refuse(*arguments):
        raise AssertionError("loaded")

    monkeypatch.setattr(edit_scores, "ClipScorer", refuse)
    monkeypatch.setattr(edit_scores, "load_aesthetic", refuse)
    task = make(reward={"exact": 1.0, "compressibility": 0.1})
    state, _ = played(task, noise)
    assert not {"clip_t", "clip_i", "aesthetic"} & task.metrics(state).keys()


def test_the_aesthetic_head_looks_through_clip(make, clip, head):
    task = make(reward="aesthetic", clip=CLIP, aesthetic=head[0])
    state, terms = played(task, noise)
    with torch.no_grad():
        rating = head[1](clip.embed_image(task.image(state)))
    torch.testing.assert_close(terms["reward/aesthetic"], rating)
    torch.testing.assert_close(task.metrics(state)["aesthetic"], rating)


def test_compressibility_is_minus_the_kilobytes(make):
    task = make(reward="compressibility")
    state, terms = played(task, noise)
    torch.testing.assert_close(terms["reward/compressibility"], -jpeg_kilobytes(task.image(state)))
    assert (played(task, answer(task))[1]["reward/compressibility"] > terms["reward/compressibility"]).all()


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"reward": {"clip": 1.0, "l1": -1.0}}, r"reward \['clip'\] needs a CLIP model: give clip"),
        ({"reward": "aesthetic", "clip": CLIP}, "needs the file of its head: give aesthetic"),
        ({"reward": "aesthetic", "aesthetic": "HEAD"}, r"reward \['aesthetic'\] needs a CLIP model"),
        ({"aesthetic": "HEAD"}, "reads embeddings by clip='ViT-L-14:openai', got clip=None"),
        ({"aesthetic": "HEAD", "clip": "random:retouch-edits-16"}, "ViT-L-14:openai', got clip='random"),
        ({"clip": "ViT-Q"}, "no CLIP model 'ViT-Q'"),
        ({"reward": {"exact": float("nan")}}, "weight of reward 'exact' must be a finite number, got nan"),
        ({"reward": {}}, "no reward at all: give some of attention"),
        ({"target": "nowhere"}, "target must be one of mask, reference, masked_reference, got 'nowhere'"),
        ({"target": "reference", "control": "noise"}, "needs control='latent': under 'noise' the editor is never"),
        ({"gate": "soft"}, "gate must be one of hard, hinge"),
        ({"tokens": "nouns"}, "tokens must be one of content, object, all"),
    ],
)
def test_scores_that_cannot_be(make, clip, head, settings, complaint):
    with pytest.raises(ValueError, match=complaint):
        make(**{key: head[0] if value == "HEAD" else value for key, value in settings.items()})


@pytest.mark.parametrize("reward", ["exact", "l1"])
def test_pictures_that_are_not_finite_are_told_of(make, reward):
    """The exact checker alone would take NaN for a picture that is not right."""
    with pytest.raises(ValueError, match="NaN or infinity in the picture"):
        played(make(reward=reward), lambda state: noise(state).index_fill(0, torch.tensor(1), torch.nan))


def test_a_reward_that_is_not_finite_is_told_of_by_name(make, monkeypatch):
    task = make(reward={"l1": -1.0, "clipped_mae": -1.0})
    monkeypatch.setattr(edit_scores, "l1", lambda image, target: torch.full((len(image),), torch.inf))
    with pytest.raises(ValueError, match=r"NaN or infinity in reward 'l1': .*dtype='bfloat16'"):
        played(task, noise)
