"""ImageEdit: the MDP under its three controls, its rewards, what it can be asked."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch

from retouch.agents.policies.diffusion import DiffusionPolicy
from retouch.agents.ppo import PPO, PPOConfig
from retouch.agents.rollout import rollouts
from retouch.envs.core import total
from retouch.envs.image_edit import LIMIT
from retouch.envs.random import LaneRandom
from retouch.envs.vector import TorchVectorEnv
from retouch.rewards.attention import alignment
from retouch.simulators.adapters import add_adapter
from retouch.simulators.attention import attention_size
from retouch.simulators.ddim import DDIM
from retouch.simulators.editors import load_editor
from retouch.simulators.edits import KINDS

STEPS, LANES = 3, 4


@pytest.fixture
def make(edit_task):
    return partial(edit_task, edits="embedded:40", steps=STEPS)


def lanes(first=0, count=LANES):
    return LaneRandom.seeded(range(first, first + count))


def played(task, policy, first=0):
    """The last state and the rewards ``[T, B]`` of an episode."""
    rng = lanes(first)
    state, rewards = task.initial(rng, {}), []
    for _ in range(task.steps):
        state, terms = task.step(state, policy(state), rng)
        rewards.append(total(terms))
    return state, torch.stack(rewards)


def test_the_action_is_the_next_latent(make):
    task = make()
    rng = lanes()
    state = task.initial(rng, {})
    assert state.t.tolist() == [STEPS] * LANES and state.latent.std() == pytest.approx(1, abs=0.05)
    action = torch.randn_like(state.latent)
    following, _ = task.step(state, action, rng)
    assert torch.equal(following.latent, action) and following.t.tolist() == [STEPS - 1] * LANES
    beyond, _ = task.step(state, 100 * torch.ones_like(action), rng)
    assert beyond.latent.max() == LIMIT


def test_noise_of_unit_deviation_is_the_reference_sampler(make, model):
    """Step for step what the sampler's own Gaussian says, without guidance."""
    task, editor = make(control="noise"), load_editor(model)
    ddim = DDIM(editor.schedule, STEPS)
    rng = lanes()
    state = task.initial(rng, {})
    latent, condition = state.latent, editor.encode(state.source.float() / 255)
    text = editor.embed(state.instruction)
    for left in range(STEPS, 0, -1):
        noise = torch.randn_like(latent)
        state, _ = task.step(state, noise, rng)
        step = torch.full((LANES,), left)
        mean, deviation = ddim.gaussian(editor.predict(latent, ddim.timestep(step), condition, text), latent, step)
        latent = mean + deviation * noise
        torch.testing.assert_close(state.latent, latent.clamp(-LIMIT, LIMIT), atol=1e-5, rtol=1e-5)
    assert task.terminated(state).all()
    torch.testing.assert_close(task.image(state), editor.decode(state.latent))


def test_guidance_of_zero_is_the_usual_one(make):
    task = make(control="guidance", scale=(3.0, 1.5))
    action = torch.tensor([[0.0, 0.0], [1.0, -1.0], [0.5, 0.0]])
    torch.testing.assert_close(task.usual(action), torch.tensor([[3.0, 1.5], [12.0, 0.375], [6.0, 1.5]]))
    still, _ = played(task, lambda state: torch.zeros(LANES, 2))
    strong, _ = played(task, lambda state: torch.ones(LANES, 2))
    again, _ = played(task, lambda state: torch.zeros(LANES, 2))
    assert torch.equal(still.latent, again.latent) and not torch.allclose(still.latent, strong.latent)
    with pytest.raises(ValueError, match="needs an rng"):
        task.step(task.initial(lanes(), {}), torch.zeros(LANES, 2), None)


def answer(task):
    """The policy that paints the target at once."""
    return lambda state: task.editor.encode(state.target.float() / 255)


def copy(task):
    return lambda state: task.editor.encode(state.source.float() / 255)


def test_the_exact_answer_is_rewarded_at_the_end_alone(make):
    task = make(reward={"exact": 2.0, "margin": 0.5, "l1": -1.0})
    state, rewards = played(task, answer(task))
    torch.testing.assert_close(rewards, torch.tensor([[0.0], [0.0], [2.5]]).expand(3, LANES))
    told = task.metrics(state)
    kinds = torch.stack([told[f"success/{name}"] for name in KINDS])
    assert torch.equal(kinds.nan_to_num(-1).argmax(0), state.kind) and (kinds.isnan().sum(0) == 3).all()
    assert told["success"].tolist() == told["done"].tolist() == told["kept"].tolist() == [1.0] * LANES
    assert (told["l1"] < 1e-6).all() and (told["psnr"] > 90).all() and (told["source_l1"] > 0.001).all()


def test_returning_the_input_is_no_edit(make):
    task = make(reward="exact")
    state, rewards = played(task, copy(task))
    told = task.metrics(state)
    assert not rewards.any() and not told["success"].any() and (told["kept"] == 1).all()
    assert (told["source_l1"] < 1e-6).all() and (told["l1"] > 0.001).all()


def test_clipped_mae_by_its_threshold(make):
    far, near = make(reward="clipped_mae", threshold=1e-4), make(reward="clipped_mae", threshold=0.9)
    _, rewards = played(far, answer(far))
    assert (rewards[-1] > 0.001).all()
    _, rewards = played(near, answer(near))
    assert not rewards.any()


@pytest.mark.parametrize("control", ["latent", "noise", "guidance"])
def test_attention_is_watched_over_all_steps(make, control):
    task = make(reward="attention", control=control)
    still = torch.zeros(LANES, *task.action_space.shape)
    state, rewards = played(task, lambda state: still)
    assert state.attention.shape == (LANES, 1, 8, 8) == (LANES, 1, *attention_size(task.editor.unet, (8, 8)))
    assert not rewards[:-1].any() and ((0 < rewards[-1]) & (rewards[-1] < 1)).all()
    torch.testing.assert_close(rewards[-1], alignment(state.attention, state.mask / 255))
    words = state.counts.sum(1)
    assert (state.attention.mean((1, 2, 3)) * words < STEPS).all()  # a softmax over all tokens, of which these are some


def test_attention_to_the_object_alone(make):
    content, named = make(tokens="content"), make(tokens="object")
    counted = [task.initial(lanes(), {}).counts for task in (content, named)]
    assert (counted[1] & ~counted[0]).sum() == 0 and (counted[1].sum(1) == 2).all()


def test_a_group_that_is_alike_differs_by_what_is_chosen(make):
    task = make(group=2, alike=True)
    state = task.initial(lanes(), {})
    assert torch.equal(state.latent[0], state.latent[1]) and not torch.equal(state.latent[1], state.latent[2])
    assert torch.equal(state.problem[0::2], state.problem[1::2])
    alone = make(group=2, alike=True).initial(lanes(3, 1), {})
    assert torch.equal(alone.latent[0], state.latent[3]) and alone.problem == state.problem[3]
    asked = task.initial(lanes(), {"image": np.zeros((32, 32, 3), np.uint8), "instruction": "remove the red circle"})
    assert torch.equal(asked.latent[0], asked.latent[1])


def test_the_last_step_is_noisy_where_it_is_asked_to_be(make):
    task = make(control="noise", eta=0.0, ending=0.1)
    assert task.ddim.deviation.tolist() == pytest.approx([0.1, 0, 0])
    certain = played(task, lambda state: torch.zeros_like(state.latent))[0]
    noisy = played(task, lambda state: torch.ones_like(state.latent))[0]
    torch.testing.assert_close(noisy.latent, certain.latent + 0.1)


def test_a_group_of_lanes_gets_one_problem_with_noise_of_its_own(make):
    task = make(group=2)
    state = task.initial(lanes(), {})
    problem = state.problem.tolist()
    assert problem[0] == problem[1] and problem[2] == problem[3]
    assert len({tuple(latent.flatten()[:3].tolist()) for latent in state.latent}) == LANES
    alone = make(group=2).initial(lanes(2, 1), {})
    assert alone.problem.item() == problem[2] and torch.equal(alone.latent[0], state.latent[2])
    env = TorchVectorEnv(task, LANES, autoreset_mode="SameStep", tensors="torch")
    env.reset(seed=0)
    seen = []
    for _ in range(5 * STEPS):
        env.step(torch.zeros(LANES, *task.action_space.shape))
        seen.append(env.state.problem.tolist())
    assert all(row[0] == row[1] and row[2] == row[3] for row in seen) and len({row[0] for row in seen}) > 2


def test_a_problem_by_its_number_and_a_picture_of_ones_own(make):
    task = make()
    state = task.initial(lanes(), {"index": [3, 1, 3, 0]})
    assert state.problem.tolist() == [3, 1, 3, 0] and torch.equal(state.source[0], state.source[2])
    picture = np.random.default_rng(0).integers(256, size=(32, 32, 3), dtype=np.uint8)
    state = task.initial(lanes(), {"image": picture, "instruction": "remove the red circle"})
    assert (state.source[1].permute(1, 2, 0).numpy() == picture).all() and (state.mask == 255).all()
    assert torch.equal(state.instruction[0], task.editor.tokens(["remove the red circle"])[0])
    assert not task.metrics(state)["success"].any()


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"control": "pixels"}, "control must be one of latent, noise, guidance, got 'pixels'"),
        ({"reward": "beauty"}, "no reward 'beauty' here; expected some of attention"),
        ({"group": 0}, "group must be at least 1"),
        ({"size": 64}, "the embedded world is 32 pixels"),
        ({"steps": 0}, "steps must lie in 1 to 1000"),
    ],
)
def test_arguments_that_make_no_sense(make, settings, complaint):
    with pytest.raises(ValueError, match=complaint):
        make(**settings)


def test_rendering(make):
    task = make()
    state, _ = played(task, answer(task))
    shown = task.render(state)
    assert shown.shape == (LANES, 128, 384, 3) and shown.dtype == torch.uint8
    assert torch.equal(shown[0, ::4, 256::4], state.target[0].permute(1, 2, 0))
    assert torch.equal(shown[0, :, 128:256], shown[0, :, 256:])


def test_ddpo_is_a_configuration_of_ppo(make):
    """A denoiser with an adapter plays the environment through the one rollout loop: ratios of 1, then a step."""
    torch.manual_seed(0)
    task = make(reward={"l1": -1.0}, steps=2, group=4)
    add_adapter(task.editor, rank=2)
    sampler, still = (DDIM(task.editor.schedule, 2, eta) for eta in (1.0, 0.0))
    grouped = {"advantage": "grouped", "group": "source,instruction", "normalize": False}
    config = PPOConfig(lr=1e-6, clip=1e-3, epochs=1, minibatch=16, **grouped)
    agent = PPO(DiffusionPolicy(task.editor, sampler, still), config)
    env = TorchVectorEnv(task, 8, autoreset_mode="SameStep", tensors="torch")
    paths = rollouts(env, agent, steps=2, seed=0)
    for _ in range(2):
        path = next(paths)
        batch = path.flatten()
        advantage, _ = agent.advantage(path, agent.policy)
        groups = advantage[0].view(2, 4)  # of lanes that got one problem
        torch.testing.assert_close(groups.mean(1), torch.zeros(2), atol=1e-4, rtol=0)
        torch.testing.assert_close(groups.std(1, correction=0), torch.ones(2), atol=1e-2, rtol=0)
        with torch.no_grad():
            before = agent.policy(batch.obs)[0].log_prob(batch.action)
        torch.testing.assert_close(before, batch.extras["log_prob"], atol=1e-5, rtol=0)
        metrics = agent.update(path)
        assert metrics["kl"] == pytest.approx(0, abs=1e-5) and metrics["clip_fraction"] == 0
    after = agent.policy(batch.obs)[0].log_prob(batch.action) - before
    assert (after * advantage.flatten()).mean() > 0


def test_a_finished_picture_is_decoded_once(make, monkeypatch):
    """Its reward and its metrics look at the same one."""
    task, seen = make(), []
    decode = task.editor.decode
    monkeypatch.setattr(task.editor, "decode", lambda latent: seen.append(latent) or decode(latent))
    state, _ = played(task, lambda state: torch.randn_like(state.latent))
    metrics = task.metrics(state)
    assert len(seen) == 1 and torch.equal(seen[0], state.latent)
    other = replace(state, latent=torch.zeros_like(state.latent))
    assert not torch.equal(task.metrics(other)["l1"], metrics["l1"]) and len(seen) == 2
