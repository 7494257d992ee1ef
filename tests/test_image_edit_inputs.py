"""What ImageEdit is handed: a pipeline and pictures of one's own, a precision, pictures and texts at reset."""

from functools import partial

import gymnasium as gym
import numpy as np
import pytest
import torch
from PIL import Image

from retouch.envs import image_edit
from retouch.envs.image_edit import ImageEdit
from retouch.envs.random import LaneRandom
from retouch.envs.stroke_paint import StrokePaint
from retouch.envs.vector import TorchVectorEnv

STEPS, LANES = 2, 3


@pytest.fixture
def make(edit_task):
    return partial(edit_task, edits="embedded:12", steps=STEPS)


@pytest.fixture
def photos(tmp_path):
    """A folder of two triples, of which the second has no target."""
    rng = np.random.default_rng(0)
    for name, text in (("cat", "put a hat on the cat"), ("sea", "make it stormy")):
        Image.fromarray(rng.integers(256, size=(20, 30, 3), dtype=np.uint8)).save(tmp_path / f"{name}.png")
        Image.fromarray(np.full((20, 30), 255, np.uint8)).save(tmp_path / f"{name}.mask.png")
        (tmp_path / f"{name}.txt").write_text(text)
    Image.fromarray(rng.integers(256, size=(20, 30, 3), dtype=np.uint8)).save(tmp_path / "cat.target.png")
    return str(tmp_path)


def initial(task, **options):
    return task.initial(LaneRandom.seeded(range(LANES)), options)


@pytest.mark.parametrize("control", ["latent", "noise", "guidance"])
def test_a_pipeline_edits_photographs(hub, photos, control):
    settings = {"edits": photos, "split": "all", "model": str(hub), "size": 16, "steps": STEPS, "control": control}
    task = ImageEdit(**settings, reward={"attention": 1.0, "clipped_mae": -1.0}, attention_slicing=True)
    env = TorchVectorEnv(task, LANES, autoreset_mode="SameStep", tensors="torch")
    obs, _ = env.reset(seed=0)
    assert obs["source"].shape == (LANES, 3, 16, 16) and obs["latent"].shape == (LANES, 4, 8, 8)
    for _ in range(STEPS):
        _, reward, ended, _, info = env.step(torch.zeros(LANES, *task.action_space.shape))
    assert ended.all() and reward.isfinite().all() and reward.any()
    assert info["final_info"]["l1"].isfinite().all() and "success" not in info["final_info"]


def test_a_pipeline_is_asked_anything(hub, photos):
    task = ImageEdit(photos, "all", str(hub), size=16, steps=STEPS, reward="l1")
    text = "Please: make it fluffier!"
    state = initial(task, image=np.zeros((16, 16, 3), np.uint8), instruction=text)
    assert torch.equal(state.instruction, task.editor.tokens([text] * LANES))
    with pytest.raises(ValueError, match="nobody knows whether these edits are right: reward .*exact.* needs embedded"):
        ImageEdit(photos, "all", str(hub), size=16)


def test_the_embedded_world_understands_other_words(make):
    task = make(tokens="object")
    picture = np.zeros((32, 32, 3), np.uint8)
    texts = ["Remove red circle!", "REMOVE THE RED CIRCLE", "put blue cross in top left"]
    state = initial(task, image=picture, instruction=texts)
    plain = ["remove the red circle", "remove the red circle", "add a blue cross on the top left"]
    assert torch.equal(state.instruction, task.editor.tokens(plain))
    named = task.editor.tokens(["red circle", "red circle", "blue cross"])[:, 1:3]  # after the beginning
    assert torch.equal(state.instruction[state.counts].view(LANES, 2), named)


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"index": 1.5}, "one number or 3, all whole, got 1.5"),
        ({"index": [True, False, True]}, "one number or 3, all whole"),
        ({"index": "first"}, "all whole, got 'first'"),
        ({"index": -1}, r"must lie in 0\.\.11, got -1"),
        ({"index": [0, 1, 12]}, r"must lie in 0\.\.11"),
        ({"index": [0, 1]}, "one number or 3"),
        ({"instruction": "remove the red circle"}, "both 'image' and 'instruction'"),
        ({"index": 0, "instruction": "remove the red circle"}, "or 'index' alone"),
        ({"image": np.zeros((32, 32, 4), np.uint8)}, r"RGB, got uint8 \[32, 32, 4\]; .*fit\(read_image\(FILE\), 32\)"),
        ({"image": np.zeros((32, 32, 3), np.uint16)}, r"RGB, got uint16 \[32, 32, 3\]"),
        ({"image": np.full((32, 32, 3), np.nan)}, r"RGB, got float64 \[32, 32, 3\]"),
        ({"image": np.zeros((32, 32, 3), np.uint8), "instruction": "make it fluffier"}, "cannot understand .*add a"),
        ({"image": np.zeros((32, 32, 3), np.uint8), "instruction": [1, 2, 3]}, r"one text or 3, got \[1, 2, 3\]"),
        ({"image": np.zeros((32, 32, 3), np.uint8), "instruction": ["remove the red circle"]}, "one text or 3"),
    ],
)
def test_what_cannot_be_asked(make, options, complaint):
    if "image" in options:
        options = {"instruction": "remove the red circle"} | options
    with pytest.raises(ValueError, match=complaint):
        initial(make(), **options)


def test_an_index_may_be_of_any_whole_type(make):
    task = make()
    for index in (np.uint8(3), torch.tensor([3, 3, 3]), (3, 3, 3)):
        assert initial(task, index=index).problem.tolist() == [3, 3, 3]


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_precision(make, dtype):
    task = make(dtype=dtype, control="noise", reward={"attention": 1.0, "l1": -1.0})
    assert {weight.dtype for weight in task.editor.parameters()} == {getattr(torch, dtype)}
    rng = LaneRandom.seeded(range(LANES))
    state = task.initial(rng, {})
    for _ in range(STEPS):
        state, terms = task.step(state, torch.zeros_like(state.latent), rng)
    assert state.latent.dtype == torch.float32 and task.image(state).dtype == torch.float32
    assert terms["reward/attention"].dtype == torch.float32 and (terms["reward/attention"] > 0).all()
    with pytest.raises(ValueError, match="dtype must be one of float32, float16, bfloat16, got 'half'"):
        make(dtype="half")


def test_a_pipelines_options_reach_it(make, model, monkeypatch):
    asked, load = [], image_edit.load_editor
    monkeypatch.setattr(image_edit, "load_editor", lambda *arguments: asked.append(arguments) or load(*arguments))
    make(), make(attention_slicing=True)
    with pytest.raises(ValueError, match="without a safety checker"):
        make(safety_checker=True, dtype="bfloat16")
    assert asked == [
        (model, "cpu", torch.float32, False, False),
        (model, "cpu", torch.float32, True, False),
        (model, "cpu", torch.bfloat16, False, True),
    ]


def test_what_nobody_needs_is_not_encoded(make, monkeypatch):
    """Whoever acts by latents asks the editor itself, unless the environment watches its attention."""
    task = make(reward="l1")
    for name in ("encode", "embed", "guided", "predict"):
        monkeypatch.setattr(task.editor, name, None)
    env = TorchVectorEnv(task, LANES, autoreset_mode="SameStep", tensors="torch")
    env.reset(seed=0)
    assert env.state.text.shape == env.state.condition.shape == (LANES, 0)
    for _ in range(2 * STEPS):
        env.step(torch.zeros(LANES, 48, 8, 8))
    saved = env.state_dict()
    env.load_state_dict(saved)
    assert env.state.text.shape == (LANES, 0)
    for settings in ({"reward": "attention"}, {"control": "noise"}, {"control": "guidance"}):
        state = initial(make(**settings))
        assert state.text.shape == (LANES, 10, 64) and state.condition.shape == (LANES, 48, 8, 8)


def test_the_mask_is_shown_on_request(make):
    assert "mask" not in make().observation_space.spaces
    task = make(show_mask=True)
    state = initial(task)
    obs = task.observe(state)
    assert torch.equal(obs["mask"], state.mask) and state.mask.amax((1, 2, 3)).tolist() == [255] * LANES
    assert (state.mask == 0).any() and obs.keys() == task.observation_space.spaces.keys()
    assert task.observation_space["mask"] == gym.spaces.Box(0, 255, (1, 32, 32), np.uint8)
    assert task.observation_space.contains({name: value[0].numpy() for name, value in obs.items()})


def test_a_learned_reward_is_shared():
    one, other = (StrokePaint("embedded:4", size=16, steps=2, strokes=1, reward="wgan", seed=i) for i in (0, 1))
    assert one.learned["wgan"] is not other.learned["wgan"]
    other.share(one)
    assert other.learned["wgan"] is one.learned["wgan"]
