"""DDPG: one number a sample, one model pass an update, gradients where they belong."""

import pytest
import torch
from gymnasium.spaces import Box
from torch import nn

from retouch.agents.ddpg import DDPG, PUBLISHED_SCHEDULE, DDPGConfig, follow
from retouch.agents.rollout import Transition

LANES = 6


class Actor(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(2, 8), nn.BatchNorm1d(8), nn.Linear(8, 3), nn.Sigmoid())

    def forward(self, obs):
        return self.layers(obs["x"])


class Critic(nn.Module):
    """Q with actions, V without; ``[B]``, or ``[B, 1]`` when ``flat`` is False, which is the published mistake."""

    def __init__(self, actions=0, flat=True):
        super().__init__()
        self.layer, self.flat = nn.Linear(2 + actions, 1), flat

    def forward(self, obs, action=None):
        x = obs["x"] if action is None else torch.cat([obs["x"], action], 1)
        return self.layer(x).squeeze(1) if self.flat else self.layer(x)


class Model:
    """Moves ``x`` by the action through a weight of its own, and counts how often it was asked."""

    def __init__(self):
        self.weight = torch.randn(3, 2, requires_grad=True)
        self.calls, self.with_gradient = 0, 0

    def __call__(self, obs, action):
        self.calls += 1
        self.with_gradient += torch.is_grad_enabled()
        moved = obs["x"] + action @ self.weight
        return {"x": moved}, -moved.square().sum(1)


def batch(terminated=False, steps=1):
    shape = (steps, LANES)
    done = torch.full(shape, terminated)
    obs, following = {"x": torch.randn(*shape, 2)}, {"x": torch.randn(*shape, 2)}
    return Transition(obs, torch.rand(*shape, 3), torch.randn(shape), following, done, torch.zeros_like(done), {})


def agent(model=None, flat=True, space=None, **config):
    torch.manual_seed(0)
    config = DDPGConfig(**{"batch": LANES, "updates": 1, "capacity": 1000} | config)
    return DDPG(Actor(), Critic(0 if model else 3, flat), config, model, space)


def judged(learner, rows):
    """What the critic should say of ``rows``."""
    return learner._bellman(rows) if learner.model is None else learner._worth(rows, learner.actor(rows.obs)).detach()


def replaced(transition, **fields):
    return Transition(**{**vars(transition), **fields})


@pytest.mark.parametrize("with_model", [False, True])
def test_a_samples_error_depends_on_its_own_reward_alone(with_model):
    """A critic's ``[B, 1]`` beside rewards ``[B]`` would fit every sample to the mean reward."""
    bonus = torch.zeros(LANES)
    model = (lambda obs, action: (obs, action.sum(1) + bonus)) if with_model else None
    learner, rows = agent(model), batch().flatten()
    before = judged(learner, rows)
    bonus[2] = 10.0
    after = judged(learner, replaced(rows, reward=rows.reward + (0 if with_model else bonus)))
    assert before.shape == (LANES,)
    torch.testing.assert_close(after - before, torch.tensor([0.0, 0.0, 10.0, 0.0, 0.0, 0.0]), atol=1e-5, rtol=0)


@pytest.mark.parametrize("model", [None, lambda obs, action: (obs, action.sum(1))])
def test_a_critic_that_is_not_one_number_a_sample_is_refused(model):
    with pytest.raises(ValueError, match=r"one number a sample, \[6\]: got \[6, "):
        agent(model, flat=False).update(batch())


def drifted(learner):
    """``learner`` with its networks moved away from their targets."""
    with torch.no_grad():
        for network in (learner.actor, learner.critic):
            for parameter in network.parameters():
                parameter += torch.randn_like(parameter)
    return learner


def test_the_target_by_hand():
    learner, rows = drifted(agent(gamma=0.5)), batch().flatten()
    rows = replaced(rows, terminated=torch.tensor([False, False, False, True, True, True]))
    target = judged(learner, rows)
    with torch.no_grad():
        following = learner.targets["critic"](rows.next_obs, learner.targets["actor"](rows.next_obs))
    torch.testing.assert_close(target[:3], (rows.reward + 0.5 * following)[:3])
    torch.testing.assert_close(target[3:], rows.reward[3:])


def test_a_steps_worth_by_hand_with_a_model():
    model = Model()
    learner, rows = drifted(agent(model, gamma=0.5)), batch().flatten()
    rows = replaced(rows, terminated=torch.tensor([False] * 5 + [True]))
    following, reward = model(rows.obs, learner.actor(rows.obs))
    worth = learner._worth(rows, learner.actor(rows.obs))
    torch.testing.assert_close(worth[:5], (reward + 0.5 * learner.targets["critic"](following))[:5])
    torch.testing.assert_close(worth[5], reward[5])


def test_where_nothing_later_counts_no_critic_is_asked():
    model = Model()
    learner, rows = agent(model, gamma=0.0), batch().flatten()
    with torch.no_grad():
        for parameter in learner.targets["critic"].parameters():
            parameter.fill_(torch.nan)
    action = learner.actor(rows.obs)
    torch.testing.assert_close(learner._worth(rows, action), model(rows.obs, action)[1])


def test_the_critic_learns_the_worth_that_the_actor_climbs():
    learner = drifted(agent(Model(), gamma=0.5, critic_lr=0.05, actor_lr=1e-9, tau=0.0, updates=300))
    rows = batch()
    learner.update(rows)
    value, wanted = learner.critic(rows.flatten().obs), judged(learner, rows.flatten())
    seen = torch.cat([rows.obs["x"][0], torch.ones(LANES, 1)], 1)
    best = seen @ torch.linalg.pinv(seen) @ wanted  # of all linear critics
    torch.testing.assert_close(value, best, atol=0.2 * wanted.std().item(), rtol=0)


def test_a_truncated_step_keeps_its_value():
    learner, rows = agent(), batch().flatten()
    target = judged(learner, rows)
    cut = judged(learner, replaced(rows, truncated=torch.ones(LANES, dtype=torch.bool)))
    torch.testing.assert_close(cut, target)


def test_one_model_pass_an_update():
    model = Model()
    agent(model, updates=3).update(batch())
    assert (model.calls, model.with_gradient) == (3, 3)


def test_gradients_reach_the_actor_alone_in_its_step():
    """Neither the critic nor the model nor a target network gathers any from the actor's loss."""
    model = Model()
    learner = agent(model)
    assert not any(p.requires_grad for p in learner.targets.parameters())
    seen, step = [], learner.actor_optimizer.step
    learner.actor_optimizer.step = lambda: (seen.extend(p.grad for p in learner.critic.parameters()), step())
    learner.update(batch())
    assert seen == [None] * 2
    assert all(p.grad.abs().sum() > 0 for p in learner.actor.layers[2].parameters())
    assert model.weight.grad is None
    assert all(p.grad is None for p in learner.targets.parameters())


def test_a_model_based_replay_holds_states_alone():
    learner = agent(Model())
    learner.update(batch())
    assert set(learner.replay.rows) == {"obs/x", "terminated"}


def test_targets_follow_slowly_with_statistics_of_their_own():
    learner = agent(tau=0.25)
    online, target = (net.layers[0].weight for net in (learner.actor, learner.targets["actor"]))
    start = target.clone()
    torch.testing.assert_close(online.detach(), start)
    learner.update(batch())
    torch.testing.assert_close(target, start + 0.25 * (online.detach() - start))
    ours, theirs = learner.actor.layers[1], learner.targets["actor"].layers[1]
    assert ours.running_mean.data_ptr() != theirs.running_mean.data_ptr()
    assert ours.num_batches_tracked == theirs.num_batches_tracked == 1
    assert not torch.equal(ours.running_mean, theirs.running_mean)  # they saw other states: s, and s'


def test_acting_changes_no_statistics():
    learner = agent()
    learner.update(batch())
    before = learner.actor.layers[1].running_mean.clone()
    learner.act({"x": torch.randn(LANES, 2)})
    assert torch.equal(learner.actor.layers[1].running_mean, before)
    one = learner.act({"x": torch.ones(1, 2)}, explore=False)[0]
    many = learner.act({"x": torch.cat([torch.ones(1, 2), torch.randn(9, 2)])}, explore=False)[0]
    torch.testing.assert_close(one[0], many[0])


def test_follow_by_hand():
    slow, fast = nn.Linear(1, 1), nn.Linear(1, 1)
    nn.init.constant_(slow.weight, 1.0)
    nn.init.constant_(fast.weight, 3.0)
    follow(slow, fast, 0.1)
    assert slow.weight.item() == pytest.approx(1.2)


class Still(nn.Module):
    """Always the middle of Box(-1, 3)."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))

    def forward(self, obs):
        return self.weight.expand(len(obs["x"]), 4)


def explored(lanes=4000, **config):
    torch.manual_seed(0)
    learner = DDPG(Still(), Critic(4), DDPGConfig(**config), action_space=Box(-1.0, 3.0, (4,)))
    return learner, learner.act({"x": torch.zeros(lanes, 2)})[0]


def test_noise_is_a_share_of_the_box_and_stays_inside():
    _, action = explored(noise=0.05)
    assert action.std().item() == pytest.approx(0.05 * 4, rel=0.05)
    _, action = explored(noise=1.0)
    assert action.min() == -1.0 and action.max() == 3.0


def test_noise_per_lane():
    """Each lane has a deviation of its own, U(0, 0.1) of the box's width, which it keeps through the rollout."""
    learner, action = explored(noise=0.1, noise_per_lane=True)
    deviation = learner.deviation.squeeze(1)
    assert deviation.min() >= 0 and deviation.max() <= 0.1 and deviation.mean().item() == pytest.approx(0.05, rel=0.1)
    spread = (action - 1).abs().mean(1)
    assert spread[deviation > 0.08].mean() > 3 * spread[deviation < 0.02].mean()
    learner.act({"x": torch.zeros(4000, 2)})
    assert torch.equal(learner.deviation.squeeze(1), deviation)


def test_noise_per_lane_is_drawn_anew_for_the_next_rollout():
    learner = agent(noise_per_lane=True)
    obs, deviations = {"x": torch.randn(LANES, 2)}, []
    for _ in range(2):
        learner.act(obs)
        deviations.append(learner.deviation)
        learner.update(batch())
    assert not torch.equal(*deviations)


def test_without_exploring_it_acts_as_the_actor():
    learner, _ = explored()
    assert torch.equal(learner.act({"x": torch.zeros(3, 2)}, explore=False)[0], torch.ones(3, 4))


def test_warms_up_with_uniform_actions_and_no_updates():
    learner = agent(warmup=2 * LANES)
    weights = learner.actor.layers[0].weight.clone()
    action = learner.act({"x": torch.randn(4000, 2)})[0]
    assert action.mean().item() == pytest.approx(0.5, abs=0.02)
    assert action.std().item() == pytest.approx(0.289, abs=0.02)
    assert learner.update(batch()) == {} and torch.equal(weights, learner.actor.layers[0].weight)
    assert "critic_loss" in learner.update(batch()) and not torch.equal(weights, learner.actor.layers[0].weight)


def test_learning_rates_change_with_the_steps_taken():
    learner = agent(schedule=((10, 0.1, 0.2), (20, 0.01, 0.02)))
    rates = []
    for _ in range(4):
        learner.update(batch())
        rates.append([opt.param_groups[0]["lr"] for opt in (learner.critic_optimizer, learner.actor_optimizer)])
    assert rates == [[0.1, 0.2], [0.01, 0.02], [0.01, 0.02], [0.01, 0.02]]  # after 6, 12, 18 and 24 steps


def test_the_published_schedule():
    learner = agent(schedule=PUBLISHED_SCHEDULE)
    learner.update(batch())
    assert learner.actor_optimizer.param_groups[0]["lr"] == 1e-3
    learner.replay.seen = 20_000 * 40 * 96
    learner._set_rates()
    assert learner.actor_optimizer.param_groups[0]["lr"] == 1e-4


@pytest.mark.parametrize(
    "setting", [{"tau": 2.0}, {"noise": -1.0}, {"batch": 0}, {"autocast": "int8"}, {"schedule": ((2, 1, 1), (1, 1, 1))}]
)
def test_impossible_settings_are_refused(setting):
    with pytest.raises(ValueError, match=next(iter(setting))):
        DDPGConfig(**setting)


@pytest.mark.parametrize("with_model", [False, True])
def test_an_update_in_parts_is_the_update_of_the_whole(with_model):
    model = Model() if with_model else None
    learners = [agent(model, microbatch=rows, batch=6) for rows in (0, 4)]
    for learner in learners:
        torch.manual_seed(1)
        learner.update(batch())
    for network in ("actor", "critic"):
        whole, parts = (getattr(learner, network).parameters() for learner in learners)
        for one, other in zip(whole, parts, strict=True):
            assert one.grad is not None and other.grad is not None
            torch.testing.assert_close(one.grad, other.grad, atol=1e-5, rtol=1e-4)
