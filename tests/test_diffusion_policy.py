"""The denoiser as a policy: DDPO's log-probability, ratios of 1, adapters that diffusers reads."""

import math
from unittest.mock import Mock

import pytest
import torch
from safetensors.torch import load_file
from torch.distributions import kl_divergence

from retouch import backends
from retouch.agents.policies.diffusion import DiffusionPolicy, Step
from retouch.agents.ppo import PPO, PPOConfig
from retouch.agents.reinforce import Reinforce, ReinforceConfig
from retouch.agents.rollout import Transition, rollouts
from retouch.simulators.adapters import WEIGHTS, add_adapter, load_adapter, save_adapter, without_adapter
from retouch.simulators.ddim import DDIM
from retouch.simulators.editors import SCHEDULE, TEXT_ENCODER, UNET, embedded_editor

STEPS = 4


def editor():
    torch.manual_seed(0)
    return embedded_editor().requires_grad_(False).eval()


def adapted(rank=2):
    model = editor()
    add_adapter(model, rank)
    return model


def samplers(model, **schedule):
    """With noise, and without."""
    return [DDIM({**model.schedule, **schedule}, STEPS, eta) for eta in (1.0, 0.0)]


def policy(model=None, **settings):
    model = model or adapted()
    return DiffusionPolicy(model, *samplers(model), unadapted=lambda: without_adapter(model), **settings)


def observed(model, lanes=3):
    torch.manual_seed(1)
    texts = ["remove the red circle", "make the blue square green", "remove the blue square"][:lanes]
    return {
        "source": torch.randint(256, (lanes, 3, 32, 32), dtype=torch.uint8),
        "instruction": model.tokens(texts),
        "latent": torch.randn(lanes, 48, 8, 8),
        "t": torch.tensor([STEPS, 2, 1][:lanes]),
    }


def shaken(model):
    """``model`` with an adapter that changes something."""
    torch.manual_seed(2)
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data += 0.05 * torch.randn_like(parameter)
    return model


def test_the_log_probability_is_the_published_one():
    """ddim_step_with_logprob of ddpo-pytorch: the mean over all but the batch of a normal's log-density."""
    torch.manual_seed(0)
    mean, value, deviation = torch.randn(2, 4, 3, 3), torch.randn(2, 4, 3, 3), torch.tensor([0.3, 1.7])
    std = deviation.view(2, 1, 1, 1)
    published = -((value - mean) ** 2) / (2 * std**2) - torch.log(std) - torch.log(torch.sqrt(torch.tensor(math.tau)))
    step = Step(mean, std)
    torch.testing.assert_close(step.log_prob(value), published.mean((1, 2, 3)), atol=1e-5, rtol=0)
    torch.testing.assert_close(step.log_prob_map(value), published, atol=1e-5, rtol=1e-5)
    normal = torch.distributions.Normal(mean, std.expand_as(mean))
    torch.testing.assert_close(step.entropy(), normal.entropy().mean((1, 2, 3)))
    other = torch.distributions.Normal(mean + 0.5, std.expand_as(mean))
    expected = kl_divergence(normal, other).mean((1, 2, 3))
    torch.testing.assert_close(kl_divergence(step, Step(mean + 0.5, std)), expected)


def test_a_step_without_noise_is_certain_and_no_nan():
    mean = torch.randn(2, 4, 3, 3, requires_grad=True)
    step = Step(mean, torch.tensor([0.0, 1.0]).view(2, 1, 1, 1))
    sample = step.sample()
    assert torch.equal(sample[0], mean[0]) and not torch.equal(sample[1], mean[1])
    log_prob = step.log_prob(sample)
    assert log_prob[0] == 0 and log_prob[1] < 0 and step.entropy()[0] == 0
    (gradient,) = torch.autograd.grad(log_prob.sum(), mean)
    assert gradient.isfinite().all() and not gradient[0].any() and gradient[1].any()


@pytest.mark.parametrize("cfg", ["full", "detach", "none"])
@pytest.mark.parametrize("control", ["latent", "noise"])
def test_ratios_are_one_on_a_fresh_rollout_and_learning_moves_them(cfg, control):
    learner = policy(scale=(3.0, 1.5), cfg=cfg, control=control)
    agent = PPO(learner, PPOConfig(advantage="grouped", normalize=False, epochs=1, lr=1e-3))
    obs = observed(learner.denoiser)
    with torch.no_grad():
        action, extras = agent.act(obs)
        again = learner(obs)[0].log_prob(action)
    torch.testing.assert_close(again, extras["log_prob"], atol=1e-6, rtol=0)
    assert extras["log_prob"].isfinite().all()
    done = torch.ones(1, 3, dtype=torch.bool)
    reward = torch.tensor([[1.0, -1.0, 0.0]])
    path = Transition(obs, action, reward[0], obs, done[0], ~done[0], extras)
    metrics = agent.update(Transition.stack([path]))
    assert metrics["kl"] == pytest.approx(0, abs=1e-6) and "value_loss" not in metrics
    change = (learner(obs)[0].log_prob(action) - again).detach()
    assert change[0] > 0 > change[1]


def test_only_the_adapter_is_trained_and_its_gradient_follows_cfg():
    learner = policy(shaken(adapted()), scale=(3.0, 1.5))
    obs = observed(learner.denoiser)

    def gradient(cfg):
        learner.cfg = cfg
        learner.zero_grad()
        learner(obs)[0].log_prob(obs["latent"]).sum().backward()
        trained = {name: p.grad for name, p in learner.named_parameters() if p.grad is not None}
        assert trained and all("lora_" in name for name in trained)
        return torch.cat([g.flatten() for g in trained.values()])

    full, detached = gradient("full"), gradient("detach")
    assert full.norm() > 0 and detached.norm() > 0 and not torch.allclose(full, detached)


def test_the_reference_is_the_editor_before_training():
    learner = policy()
    obs = observed(learner.denoiser)
    step, reference = learner(obs)[0], learner.reference(obs)
    torch.testing.assert_close(kl_divergence(step, reference), torch.zeros(3))
    shaken(learner.denoiser)
    moved = kl_divergence(learner(obs)[0], learner.reference(obs))
    assert (moved[:2] > 0).all()
    torch.testing.assert_close(learner.reference(obs).mean, reference.mean)


def test_noise_starts_as_a_standard_normal_and_means_the_same_step():
    model = adapted()
    by_latent, by_noise = policy(model), policy(model, control="noise")
    for each in (by_latent, by_noise):
        each.sampler, each.still = samplers(model, set_alpha_to_one=True)  # whose last step is certain
    obs = observed(model)
    white = by_noise(obs)[0]
    assert not white.mean.any() and white.deviation.flatten().tolist() == [1.0, 1.0, 0.0]
    shaken(model)
    step, white = by_latent(obs)[0], by_noise(obs)[0]
    before = by_latent.reference(obs).mean
    for one, other in ((white.mean, step.mean), (white.mode, step.mode)):
        torch.testing.assert_close(before[:2] + step.deviation[:2] * one[:2], other[:2], atol=1e-4, rtol=1e-4)
        assert one[:2].any() and not one[2].any()


def test_what_it_does_without_exploring_is_the_sampler_without_noise():
    learner = policy()
    obs = observed(learner.denoiser)
    action, _ = PPO(learner).act(obs, explore=False)
    condition, text = learner.denoiser.encode(obs["source"] / 255), learner.denoiser.embed(obs["instruction"])
    sampler, still = samplers(learner.denoiser)
    output = learner.denoiser.predict(obs["latent"], sampler.timestep(obs["t"]), condition, text)
    torch.testing.assert_close(action, still.gaussian(output, obs["latent"], obs["t"])[0])


def test_needs_to_know_what_the_editor_was():
    model = editor()
    with pytest.raises(ValueError, match="hand over unadapted"):
        DiffusionPolicy(model, *samplers(model), control="noise")
    with pytest.raises(ValueError, match="by latent or by noise, not by 'guidance'"):
        policy(model, control="guidance")
    with pytest.raises(ValueError, match="hand over unadapted"):
        DiffusionPolicy(model, *samplers(model)).reference(observed(model))


def test_an_adapter_changes_nothing_at_first_and_comes_back_from_its_folder(tmp_path):
    plain, model = editor(), adapted()
    obs = observed(plain)
    means = [policy(each)(obs)[0].mean.detach() for each in (plain, model)]
    torch.testing.assert_close(*means)
    save_adapter(shaken(model), tmp_path / "adapter")
    load_adapter(plain, tmp_path / "adapter")
    torch.testing.assert_close(policy(plain)(obs)[0].mean, policy(model)(obs)[0].mean)
    assert {p.requires_grad for name, p in plain.named_parameters() if "lora_" in name} == {True}
    assert not any(p.requires_grad for name, p in plain.named_parameters() if "lora_" not in name)


def test_diffusers_reads_the_adapter(tmp_path):
    """Through the loader that `pipe.load_lora_weights(folder)` calls, alpha included."""
    model = editor()
    add_adapter(model, rank=2, alpha=8)
    save_adapter(shaken(model), tmp_path)
    assert all(key.startswith("unet.") for key in load_file(tmp_path / WEIGHTS))
    pipeline = backends.diffusers().StableDiffusionInstructPix2PixPipeline
    state, alphas, metadata = pipeline.lora_state_dict(tmp_path, return_lora_metadata=True)
    other = editor()
    pipeline.load_lora_into_unet(state, alphas, other.unet, adapter_name="edit", metadata=metadata)
    obs = observed(other)
    torch.testing.assert_close(policy(other)(obs)[0].mean, policy(model)(obs)[0].mean)


def test_says_what_is_wrong_with_an_adapter(tmp_path):
    with pytest.raises(FileNotFoundError, match="no adapter in"):
        load_adapter(editor(), tmp_path)
    with pytest.raises(ValueError, match="has an adapter already"):
        add_adapter(adapted())
    with pytest.raises(ValueError, match="rank of an adapter must be at least 1, got 0"):
        add_adapter(editor(), 0)
    (tmp_path / WEIGHTS).write_bytes(b"nonsense")
    with pytest.raises(ValueError, match="cannot be read"):
        load_adapter(editor(), tmp_path)


def test_an_adapter_of_another_denoiser_is_refused(tmp_path):
    wider = {**UNET, "block_out_channels": (64, 128), "attention_head_dim": [4, 8]}
    other = embedded_editor({"unet": wider, "text_encoder": TEXT_ENCODER, "schedule": SCHEDULE})
    add_adapter(other)
    save_adapter(other, tmp_path)
    with pytest.raises(ValueError, match="does not fit this denoiser"):
        load_adapter(editor(), tmp_path)


class Denoising:
    """Two lanes denoise together, anew after every episode; the observations are the state's own tensors."""

    num_envs = 2

    def __init__(self, model):
        self.first = observed(model, 2) | {"t": torch.full((2,), STEPS)}

    def reset(self, seed=None):
        fresh = {"source": self.first["source"].clone(), "instruction": self.first["instruction"].clone()}
        self.obs = self.first | fresh
        return self.obs, {}

    def step(self, action):
        last = self.obs | {"latent": action, "t": self.obs["t"] - 1}
        ended = last["t"] == 0
        self.obs = last
        obs = self.reset()[0] if ended.all() else last
        reward = torch.where(ended, action.mean((1, 2, 3)), 0.0)
        return obs, reward, ended, torch.zeros_like(ended), {"final_obs": last}


def learner_of(kind, model=None):
    settings = {"lr": 1e-2, "minibatch": 3, "history": 8}
    if kind == "ppo":
        config = PPOConfig(advantage="grouped", normalize=False, epochs=2, reference_coef=0.01, **settings)
        return PPO(policy(model), config)
    return Reinforce(policy(model), ReinforceConfig(baseline="group", **settings))


@pytest.mark.parametrize("kind", ["ppo", "reinforce"])
def test_an_episode_derives_its_context_once_and_an_update_never(kind):
    agent = learner_of(kind)
    model = agent.policy.denoiser
    paths = rollouts(Denoising(model), agent, STEPS)
    model.encode, model.embed = Mock(wraps=model.encode), Mock(wraps=model.embed)
    for episode in (1, 2):
        path = next(paths)
        assert path.done.all(1).tolist() == [False, False, False, True]
        assert (model.encode.call_count, model.embed.call_count) == (episode, episode)
        agent.update(path)
        assert (model.encode.call_count, model.embed.call_count) == (episode, episode)


def test_a_context_handed_over_changes_nothing():
    learner = policy(shaken(adapted()))
    obs = observed(learner.denoiser)
    alone = learner(obs)[0].mean
    assert torch.equal(learner(obs | learner.context(obs))[0].mean, alone)
    other = obs | {"source": 255 - obs["source"]}
    assert not torch.allclose(learner(other)[0].mean, alone)  # another picture is another context
    assert torch.equal(learner.context(obs)["text"], learner.denoiser.embed(obs["instruction"]))


def test_it_keeps_what_it_trains_alone():
    learner = policy(shaken(adapted()))
    saved = learner.state_dict()
    assert saved and all("lora_" in name for name in saved)
    assert sum(x.numel() for x in saved.values()) < 0.05 * sum(p.numel() for p in learner.parameters())
    other = policy()
    other.load_state_dict(saved)
    obs = observed(learner.denoiser)
    assert torch.equal(other(obs)[0].mean, learner(obs)[0].mean)


def test_weights_of_another_policy_are_refused():
    saved = policy().state_dict()
    name = next(iter(saved))
    with pytest.raises(RuntimeError, match="missing .*lora"):
        policy().load_state_dict({key: x for key, x in saved.items() if key != name})
    with pytest.raises(RuntimeError, match="unexpected .*'strange'"):
        policy().load_state_dict(saved | {"strange": torch.zeros(1)})
    with pytest.raises(RuntimeError, match="size mismatch"):
        policy(adapted(rank=3)).load_state_dict(saved)


@pytest.mark.parametrize("kind", ["ppo", "reinforce"])
def test_a_checkpoint_goes_on_bit_for_bit(kind, tmp_path):
    agent = learner_of(kind)
    paths = rollouts(Denoising(agent.policy.denoiser), agent, STEPS)
    agent.update(next(paths))
    torch.save(agent.state_dict(), tmp_path / "agent.pt")
    resumed = learner_of(kind)
    resumed.load_state_dict(torch.load(tmp_path / "agent.pt", weights_only=True))
    path = next(paths)
    before = {name: x.clone() for name, x in agent.policy.state_dict().items()}
    for each in (agent, resumed):
        torch.manual_seed(5)
        each.update(path)
    after, again = agent.policy.state_dict(), resumed.policy.state_dict()
    assert all(torch.equal(x, again[name]) for name, x in after.items())
    assert any(not torch.equal(x, before[name]) for name, x in after.items())
