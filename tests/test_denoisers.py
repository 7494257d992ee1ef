"""The editor of ImageEdit as a policy: what runs are made of, published settings, policies by name."""

from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file

from retouch.benchmarks.denoisers import Copy, Reference, rate, still
from retouch.benchmarks.evaluate import play
from retouch.benchmarks.learners import PolicyConfig, learner
from retouch.benchmarks.plan import plan_run, read_plan
from retouch.benchmarks.players import make_player
from retouch.benchmarks.recipes import agents, build_agent, policies, unseen
from retouch.benchmarks.train import Training, train
from retouch.envs.image_edit import ImageEdit
from retouch.simulators.adapters import has_adapter, load_adapter
from retouch.simulators.editors import load_editor

SHORT = ["env.edits=embedded:40", "env.steps=3", "env.group=2", "num_envs=4", "eval_episodes=2", "agent.lr=0.05"]


def task(model, **settings):
    return ImageEdit(**{"edits": "embedded:40", "model": model, "steps": 3} | settings)


def planned(model, *settings, agent="ppo"):
    return plan_run("ImageEdit-v0", agent, [f"env.model={model}", *SHORT, *settings])


@pytest.mark.parametrize("agent", ["ppo", "reinforce"])
def test_the_editor_is_the_policy_and_groups_share_a_problem(model, agent):
    plan = planned(model, agent=agent)
    assert (plan.policy.network, plan.run.rollout, plan.learner.group) == ("denoiser", 3, "source,instruction")
    training = Training.begin(plan)
    assert training.agent.policy.denoiser is training.env.task.editor and has_adapter(training.env.task.editor)
    source = training.env.observe()["source"]
    assert torch.equal(source[0], source[1]) and not torch.equal(source[1], source[2])
    assert training.eval_task.group == 1


def test_without_groups_all_episodes_are_one(model):
    plan = plan_run("ImageEdit-v0", "ppo", [f"env.model={model}", "env.edits=embedded:40"])
    assert (plan.learner.group, plan.learner.epochs, plan.learner.clip, plan.learner.lr) == ("", 1, 5e-4, 1e-2)
    assert plan.learner.window == (0, 5)
    assert (rate("shipped"), rate("timbrooks/instruct-pix2pix")) == (1e-2, 3e-4)


def test_by_noise_the_policy_is_a_copy(model):
    training = Training.begin(planned(model, "env.control=noise"))
    assert not has_adapter(training.env.task.editor) and has_adapter(training.agent.policy.denoiser)


def test_a_small_network_sees_the_observations_that_are_named(model):
    training = Training.begin(planned(model, "env.control=guidance", "policy.sees=t", "policy.log_std=-1.5"))
    policy, obs = training.agent.policy, training.env.task.observation_space.spaces
    assert policy.encoder.features == 1 and len(obs) > 1
    acts = policy({"t": torch.tensor([1, 2, 2])})[0].mean
    assert acts.shape == (3, 2) and torch.equal(acts[1], acts[2]) and not torch.equal(acts[0], acts[1])


def test_by_guidance_a_small_network_is_the_policy(model):
    plan = planned(model, "env.control=guidance")
    assert (plan.policy.network, plan.learner.advantage, plan.learner.gamma) == ("standard", "generalized", 1.0)
    with pytest.raises(ValueError, match="env.control=latent or noise, not guidance"):
        planned(model, "env.control=guidance", "policy.network=denoiser")


def test_a_run_leaves_an_adapter_and_is_played_again(model, tmp_path):
    """What is kept is the adapter alone; it is what the agent plays by, in our files and in those of diffusers."""
    plan = planned(model, "updates=1", "policy.rank=2", "env.reward=l1")
    assert train(plan, tmp_path) and read_plan(tmp_path) == plan
    kept = torch.load(tmp_path / "agent.pt", weights_only=True)["agent"]["policy"]
    assert kept and all("lora_" in name for name in kept)
    player = make_player("ImageEdit-v0", str(tmp_path))
    editor = load_editor(model)
    load_adapter(editor, tmp_path / "lora")
    assert len(load_file(tmp_path / "lora" / "pytorch_lora_weights.safetensors")) == len(kept)
    ours, theirs = (dict(network.named_parameters()) for network in (player.agent.policy.denoiser, editor))
    moved = [name for name in ours if "lora_B" in name and ours[name].any()]
    assert moved and all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_an_average_is_what_a_run_is_played_by(model, tmp_path):
    plan = planned(model, "updates=1", "agent.average=0.5", "env.reward=l1")
    train(plan, tmp_path)
    player = make_player("ImageEdit-v0", str(tmp_path))
    assert any(mean.abs().max() > 0 for mean in player.agent.average.mean)
    assert not all(map(torch.equal, player.agent.average.mean, player.agent.average.parameters))


def test_full_training_moves_every_part_and_remembers_the_beginning(model):
    training = Training.begin(planned(model, "policy.full=true", "env.reward=l1", "agent.reference_coef=0.1"))
    policy = training.agent.policy
    before = {name: part.clone() for name, part in policy.denoiser.unet.state_dict().items()}
    obs = training.env.observe()
    first = policy.reference(obs).mean
    with torch.no_grad():
        for parameter in policy.parameters():
            if parameter.requires_grad:
                parameter += 0.01
    assert not has_adapter(policy.denoiser)
    assert all(not torch.equal(before[name], part) for name, part in policy.denoiser.unet.named_parameters())
    assert torch.equal(policy.reference(obs).mean, first) and not torch.equal(policy(obs)[0].mean, first)


def test_the_reference_is_the_editor_as_it_is(model):
    """Step for step what its sampler's Gaussian says."""
    player = task(model)
    rng = torch.Generator().manual_seed(3)
    source = torch.randint(256, (2, 3, 32, 32), dtype=torch.uint8, generator=rng)
    words = player.editor.tokens(["remove the red circle", "make the blue square green"])
    latent, left = torch.randn(2, 48, 8, 8, generator=rng), torch.tensor([3, 2])
    torch.manual_seed(0)
    action, _ = Reference(player).act({"source": source, "instruction": words, "latent": latent, "t": left})
    condition, text = player.editor.encode(source.float() / 255), player.editor.embed(words)
    output = player.editor.predict(latent, player.ddim.timestep(left), condition, text)
    mean, deviation = player.ddim.gaussian(output, latent, left)
    torch.manual_seed(0)
    assert torch.allclose(action, mean + deviation * torch.randn(2, 48, 8, 8), atol=1e-6)


@pytest.mark.parametrize(("control", "spread"), [("noise", 1.0), ("guidance", 0.0)])
def test_the_reference_acts_by_any_control(model, control, spread):
    player = task(model, control=control)
    torch.manual_seed(0)
    action, _ = Reference(player).act({"latent": torch.zeros(64, 48, 8, 8)})
    assert action.shape == (64, *player.action_space.shape) and action.std().item() == pytest.approx(spread, abs=0.01)


def test_the_copy_returns_the_input(model):
    measured = play(task(model), Copy(task(model)), 8)
    assert measured["source_l1"].max() < 1e-6 and not measured["done"].any() and measured["kept"].all()
    with pytest.raises(ValueError, match="control=latent, not by noise"):
        Copy(task(model, control="noise"))


def test_policies_and_agents_by_name(model):
    assert {"reference", "shipped", "copy", "random"} == set(policies(task(model)))
    assert {"ppo", "reinforce", "ddpg"} == set(agents(task(model)))
    assert still(task(model, steps=4)).eta == 0


def test_what_cannot_be_is_said(model):
    with pytest.raises(ValueError, match="network=denoiser cannot play this task: it denoises"):
        plan_run("StrokePaint-v0", "ppo", ["policy.network=denoiser"])
    with pytest.raises(ValueError, match="rank must be at least 1"):
        planned(model, "policy.rank=0")
    with pytest.raises(ValueError, match="no preset 'instructrl'; did you mean instructrl4pix"):
        plan_run("ImageEdit-v0", "ppo", [], "instructrl")
    with pytest.raises(ValueError, match="instructrl4pix is of ppo on ImageEdit-v0, not of reinforce"):
        plan_run("ImageEdit-v0", "reinforce", [], "instructrl4pix")


def test_the_published_table(model):
    """Table 4 of InstructRL4Pix, row by row."""
    plan = plan_run("ImageEdit-v0", "ppo", [f"env.model={model}", "env.edits=embedded:8"], "instructrl4pix")
    run, env, ppo, policy = plan.run, plan.env, plan.learner, plan.policy
    assert (run.updates, run.checkpoint_every, run.keep, run.num_envs) == (200, 50, 5, 8)
    assert (env["steps"], env["eta"], env["scale"][0], env["dtype"]) == (50, 1.0, 5.0, "float32")
    assert (ppo.lr, ppo.eight_bit, ppo.epochs, ppo.accumulate, ppo.share) == (2e-4, True, 1, 1, 1.0)
    assert (ppo.clip, ppo.advantage_clip, ppo.max_grad_norm) == (1e-4, 5.0, 1.0)
    assert (ppo.history, ppo.least, ppo.group) == (16, 16, "source,instruction")
    assert (policy.cfg, policy.full, policy.rank) == ("full", False, 4) and ppo.window == (0, 0)
    assert env["reward"] == {"attention": 1.0, "clipped_mae": -1.0}
    assert ppo.minibatch == run.rollout == env["steps"] and ppo.by_episode  # a step of Adam for every trajectory
    changed = plan_run(
        "ImageEdit-v0", "ppo", [f"env.model={model}", "env.edits=embedded:8", "agent.lr=1e-5"], "instructrl4pix"
    )
    assert changed == replace(plan, learner=replace(ppo, lr=1e-5))


def test_evaluation_is_of_single_problems():
    assert unseen({"split": "train", "group": 8}) == {"split": "test", "group": 1}
    assert unseen({"split": "test", "size": 3}) == {"split": "test", "size": 3}


def test_a_denoiser_is_built_for_its_task_alone(model):
    config = learner("ppo").config()
    agent = build_agent("ppo", task(model), PolicyConfig("denoiser", rank=3, alpha=6.0), config)
    sizes = {part.shape[0] for name, part in agent.policy.named_parameters() if "lora_A" in name}
    assert sizes == {3}
