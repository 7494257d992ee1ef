"""Deep deterministic policy gradient (Lillicrap et al., 2016, arXiv:1509.02971), with or without a model.

The model-based one is that of Learning to Paint (Huang et al., ICCV 2019), with a value of states in place of its
value of rendered next states. Then one imagined step, s' = model(s, mu(s)), serves both networks: with V' the slow
copy of V,

    worth = r(s, mu(s)) + gamma V'(s')

is what mu climbs and what V(s) is to be. The published code makes three model passes an update; and of the past this
needs no more than ``s``.
"""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass

import torch
from gymnasium.spaces import Box
from torch import Tensor, nn
from torch.optim import Adam

from . import distributed
from .checks import require_fraction, require_not_negative, require_one_of, require_positive
from .metrics import averages
from .replay import FULL, Replay
from .returns import td_target
from .rollout import Agent, Metrics, Obs, Transition

Model = Callable[[Obs, Tensor], tuple[Obs, Tensor]]  # obs, action [B, A] -> next_obs, reward [B]; differentiable
Schedule = tuple[tuple[int, float, float], ...]  # (steps, critic_lr, actor_lr): the rates until so many steps

# Learning to Paint's, in steps of one environment: 10,000 and 20,000 episodes of 40 steps in 96 environments
PUBLISHED_SCHEDULE: Schedule = ((38_400_000, 3e-4, 1e-3), (76_800_000, 1e-4, 3e-4), (2**63 - 1, 3e-5, 1e-4))


@dataclass(frozen=True)
class DDPGConfig:
    actor_lr: float = 1e-3
    critic_lr: float = 1e-3
    schedule: Schedule = ()  # rates that change with the steps taken, instead of the two above
    gamma: float = 0.95
    tau: float = 0.005  # how far the target networks follow, each update
    noise: float = 0.1  # deviation of the exploration, as a share of the box's width
    noise_per_lane: bool = False  # deviation drawn from U(0, noise) per lane and rollout, as published
    warmup: int = 0  # steps of uniformly random actions before the first update
    batch: int = 96
    microbatch: int = 0  # rows whose gradients are computed at a time, to bound the memory; 0: all
    updates: int = 10  # per rollout
    capacity: int = 32_000  # steps of one environment
    static: tuple[str, ...] = ("target", "mask", "focus", "window")  # observations kept once an episode
    replay_device: str = ""  # where the replay lies; "": where the rollouts do
    autocast: str = "float32"  # or "bfloat16": what the networks, not the model, compute in

    def __post_init__(self) -> None:
        require_positive(self, "actor_lr", "critic_lr", "batch", "updates", "capacity")
        require_not_negative(self, "noise", "warmup", "microbatch")
        require_fraction(self, "gamma", "tau")
        require_one_of(self, "autocast", ("float32", "bfloat16"))
        if any(len(rates) != 3 for rates in self.schedule) or list(self.schedule) != sorted(self.schedule):
            raise ValueError(f"schedule must hold (steps, critic_lr, actor_lr) by rising steps, got {self.schedule}")


class DDPG(Agent):
    """``actor(obs)`` returns actions ``[B, A]`` inside ``action_space`` (default: the unit box).

    Without a model, ``critic(obs, action)`` estimates Q ``[B]``. With one (a differentiable renderer and reward),
    ``critic(obs)`` estimates V ``[B]``. The model does not say where episodes end: a step is taken to end its
    episode where it did when it was played, which is exact where the clock alone decides, as in painting.

    Target networks follow slowly in their parameters. Buffers, a batch norm's running statistics, are their own:
    both networks normalise by the batch in updates, and the actor by its running statistics when it acts.
    """

    checkpointed = ("actor", "critic", "targets", "actor_optimizer", "critic_optimizer", "replay")

    def __init__(
        self,
        actor: nn.Module,
        critic: nn.Module,
        config: DDPGConfig | None = None,
        model: Model | None = None,
        action_space: Box | None = None,
    ):
        self.actor, self.critic, self.config, self.model = actor, critic, config or DDPGConfig(), model
        followed = {"critic": critic} if model else {"actor": actor, "critic": critic}
        self.targets = nn.ModuleDict(deepcopy(followed)).requires_grad_(False)
        self.actor_optimizer = Adam(actor.parameters(), lr=self.config.actor_lr, fused=True)
        self.critic_optimizer = Adam(critic.parameters(), lr=self.config.critic_lr, fused=True)
        self.space = action_space or Box(0.0, 1.0, (1,))
        keep = FULL if model is None else ("terminated",)
        self.replay = Replay(self.config.capacity, keep, self.config.static, self.config.replay_device or None)
        self.deviation: Tensor | None = None  # [B, 1] of the exploration, drawn when a rollout begins

    @torch.no_grad()
    def act(self, obs: Obs, explore: bool = True) -> tuple[Tensor, dict[str, Tensor]]:
        self.actor.eval()
        action = self._call(self.actor, obs)
        return (self._explore(action) if explore else action), {}

    def update(self, rollout: Transition) -> Metrics:
        self.replay.add(rollout)
        self.deviation = None
        if self.replay.seen < self.config.warmup:
            return {}
        self._set_rates()
        for network in (self.actor, self.critic, self.targets):
            network.train()
        return averages([self._update(self.config.batch) for _ in range(self.config.updates)])

    def _update(self, size: int) -> dict[str, Tensor]:
        device = next(self.actor.parameters()).device
        batch = self.replay.sample(size).map(lambda x: x.to(device, non_blocking=True))
        if self.model is None:
            metrics = self._fit(batch, self._bellman(batch)) | {"actor_loss": -self._climb(batch).mean()}
        else:
            worth = self._climb(batch)
            metrics = self._fit(batch, worth) | {"actor_loss": -worth.mean()}
        for name, target in self.targets.items():
            follow(target, getattr(self, name), self.config.tau)
        return metrics

    @torch.no_grad()
    def _bellman(self, batch: Transition) -> Tensor:
        """What the critic should say ``[B]`` of what was done, without a model."""
        following = self._call(self.targets["actor"], batch.next_obs)
        value = self._call(self.targets["critic"], batch.next_obs, following)
        return td_target(batch.reward, value, batch.terminated, self.config.gamma)

    def _fit(self, batch: Transition, target: Tensor) -> dict[str, Tensor]:
        """One step of the critic towards ``target`` ``[B]``."""
        values = []
        self.critic_optimizer.zero_grad()
        for rows in self._parts(batch):
            part = batch[rows]
            known = (part.obs, part.action) if self.model is None else (part.obs,)
            value = per_sample(self._call(self.critic, *known), part)
            error = (value - per_sample(target[rows], part)).square()
            (error.sum() / len(batch)).backward(inputs=list(self.critic.parameters()))
            values.append(value.detach())
        distributed.mean_gradient(self.critic.parameters())
        self.critic_optimizer.step()
        value = torch.cat(values)
        return {"critic_loss": (value - target).square().mean(), "value": value.mean()}

    def _climb(self, batch: Transition) -> Tensor:
        """One step of the actor up its actions' worth ``[B]``, which comes back; the critic keeps no gradient.

        The actor sees the batch whole, for it may normalise by it.
        """
        action = self._call(self.actor, batch.obs)
        sent, worths = action.detach().requires_grad_(True), []
        sent.grad = torch.zeros_like(sent)  # it stays so where nothing depends on the action
        for rows in self._parts(batch):
            worth = per_sample(self._worth(batch[rows], sent[rows]), batch[rows])
            if worth.requires_grad:
                (-worth.sum() / len(batch)).backward(inputs=[sent])
            worths.append(worth.detach())
        self.actor_optimizer.zero_grad()
        action.backward(sent.grad, inputs=list(self.actor.parameters()))
        distributed.mean_gradient(self.actor.parameters())
        self.actor_optimizer.step()
        return torch.cat(worths)

    def _parts(self, batch: Transition) -> list[slice]:
        width = self.config.microbatch or len(batch)
        return [slice(start, start + width) for start in range(0, len(batch), width)]

    def _worth(self, batch: Transition, action: Tensor) -> Tensor:
        """The value ``[B]`` of doing ``action``."""
        if self.model is None:
            return self._call(self.critic, batch.obs, action)
        next_obs, reward = self.model(batch.obs, action)
        if not self.config.gamma:
            return reward
        return td_target(reward, self._call(self.targets["critic"], next_obs), batch.terminated, self.config.gamma)

    def _call(self, network: nn.Module, *inputs: Obs | Tensor) -> Tensor:
        device = next(network.parameters()).device.type
        with torch.autocast(device, torch.bfloat16, enabled=self.config.autocast == "bfloat16"):
            return network(*inputs).float()

    def _explore(self, action: Tensor) -> Tensor:
        low, high = (torch.as_tensor(bound, device=action.device) for bound in (self.space.low, self.space.high))
        if self.replay.seen < self.config.warmup:
            return low + (high - low) * torch.rand_like(action)
        if self.deviation is None:
            scale = torch.ones_like(action[:, :1])
            self.deviation = self.config.noise * (torch.rand_like(scale) if self.config.noise_per_lane else scale)
        return (action + self.deviation * (high - low) * torch.randn_like(action)).clamp(low, high)

    def _set_rates(self) -> None:
        rates = next((rates for until, *rates in self.config.schedule if self.replay.seen < until), None)
        if rates is not None:
            for optimizer, rate in zip((self.critic_optimizer, self.actor_optimizer), rates, strict=True):
                optimizer.param_groups[0]["lr"] = rate


def per_sample(value: Tensor, batch: Transition) -> Tensor:
    """``value``, if it is ``[B]``. ``[B, 1]`` beside a reward ``[B]`` would silently train on a table ``[B, B]``."""
    expected, got = [len(batch)], list(value.shape)
    if got != expected:
        raise ValueError(f"the critic and the model must return one number a sample, {expected}: got {got}")
    return value


@torch.no_grad()
def follow(target: nn.Module, online: nn.Module, tau: float) -> None:
    """``target <- (1 - tau) target + tau online``, parameters alone."""
    for slow, fast in zip(target.parameters(), online.parameters(), strict=True):
        slow.lerp_(fast, tau)
