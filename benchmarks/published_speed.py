"""How fast ours is beside the published design, in one run on this machine.

    python -m retouch.benchmarks.published_speed

Stepping 96 environments of 5 strokes at 128 pixels, and one DDPG update of 96 with its critic's (WGAN) update, the
same networks on both sides. The published side is Learning to Paint's procedure in our words: its fully connected
renderer, whole canvases composited and cut to 8 bits, three renderer passes an update, gradients for frozen weights,
image planes one after another in memory and thresholds by shift and ReLU, both states in the replay. Compiled are ours
of ``StrokePaint(compile=True)``. Every row runs in a process of its own, so that peak memory is its own too.
"""

from copy import deepcopy
from functools import partial
from pathlib import Path

import torch
from rich.table import Table
from torch import Tensor, nn

from ..agents.ddpg import DDPG, DDPGConfig, follow
from ..agents.policies.resnet import ResNetActor, ResNetCritic, TReLU
from ..agents.rollout import Obs, rollouts
from ..envs.core import as_unit
from ..envs.stroke_paint import StrokePaint
from ..envs.vector import TorchVectorEnv
from ..rewards.wgan import TReLU as ShiftedReLU
from ..simulators.neural_renderer import PublishedRenderer
from .recipes import policies
from .side_by_side import Numbers, Rows, main, measured, ours

LANES, STROKES, SIZE = 96, 5, 128
PAINTINGS = 8  # that the painter works on, whose strokes all lanes then repeat
PAINTED = 20  # bundles laid by the painter before its strokes are taken as a trained painter's


def task(**settings) -> StrokePaint:
    return StrokePaint(targets="embedded:96", size=SIZE, strokes=STROKES, **settings)


def published_step() -> Numbers:
    """Render all strokes, composite whole canvases, cut them to 8 bits, measure the distance."""
    renderer = PublishedRenderer(SIZE)
    canvas = torch.zeros(LANES, 3, SIZE, SIZE, dtype=torch.uint8)
    target = torch.randint(256, canvas.shape, dtype=torch.uint8)

    def step() -> None:
        strokes = torch.rand(LANES, STROKES, 13)
        with torch.no_grad():
            painted = (published_paint(renderer, canvas.float() / 255, strokes) * 255).byte()
        ((painted.float() - target.float()) / 255).square().mean((1, 2, 3))

    return measured(step)


def published_paint(renderer: nn.Module, canvas: Tensor, strokes: Tensor) -> Tensor:
    alpha = renderer(strokes[:, :, :10].flatten(0, 1)).view(*strokes.shape[:2], 1, SIZE, SIZE)
    colour = alpha * strokes[:, :, 10:, None, None]
    for i in range(strokes.shape[1]):
        canvas = canvas * (1 - alpha[:, i]) + colour[:, i]
    return canvas


def our_step_uniform(compile: bool = False) -> Numbers:
    env = TorchVectorEnv(task(compile=compile), LANES, autoreset_mode="SameStep", tensors="torch")
    env.reset(seed=0)
    return measured(lambda: env.step(torch.rand(LANES, 13 * STROKES)))


def our_step_painter(compile: bool = False) -> Numbers:
    """The same strokes again and again: those that the shipped painter lays on half-painted canvases."""
    paint = task(compile=compile)
    few = TorchVectorEnv(paint, PAINTINGS, autoreset_mode="SameStep", tensors="torch")
    painter = policies(paint)["shipped"](paint)
    obs, _ = few.reset(seed=0)
    for _ in range(PAINTED):
        obs, *_ = few.step(painter.act(obs, explore=False)[0])
    action = painter.act(obs, explore=False)[0].repeat(LANES // PAINTINGS, 1)
    env = TorchVectorEnv(paint, LANES, autoreset_mode="SameStep", tensors="torch")
    env.reset(seed=0)
    return measured(lambda: env.step(action))


def published_update() -> Numbers:
    paint = task(reward="wgan")
    actor, critic = ResNetActor(paint.observation_space, paint.action_space), ResNetCritic(paint.observation_space)
    renderer, wgan = PublishedRenderer(SIZE), paint.learned["wgan"]
    for network in (actor, critic, wgan):
        compute_as_published(network)
    target_actor, target_critic = deepcopy(actor), deepcopy(critic)
    optimizers = [torch.optim.Adam(net.parameters()) for net in (actor, critic)]
    wgan.slow.requires_grad_(True)
    wgan.updates = 1
    replay = torch.randint(256, (LANES, 2, 7, SIZE, SIZE), dtype=torch.uint8)

    def seen(planes: Tensor) -> Obs:
        return {"canvas": planes[:, :3], "target": planes[:, 3:6], "step": planes[:, 6, 0, 0].long()}

    def rendered(obs: Obs, action: Tensor) -> tuple[Obs, Tensor]:
        before, target = as_unit(obs["canvas"]), as_unit(obs["target"])
        after = published_paint(renderer, before, action.view(LANES, STROKES, 13))
        return obs | {"canvas": after, "step": obs["step"] + 1}, wgan.gain(before, after, target)

    def update() -> None:
        state, following = seen(replay[:, 0]), seen(replay[:, 1])
        with torch.no_grad():
            after, reward = rendered(following, target_actor(following))
            wanted = reward + 0.77 * target_critic(after)
        after, reward = rendered(state, torch.rand(LANES, 13 * STROKES))
        loss = (critic(after) + reward - wanted).square().mean()
        optimizers[1].zero_grad()
        loss.backward(retain_graph=True)
        optimizers[1].step()
        after, reward = rendered(state, actor(state))
        optimizers[0].zero_grad()
        (-(critic(after) + reward).mean()).backward()
        optimizers[0].step()
        follow(target_actor, actor, 0.001)
        follow(target_critic, critic, 0.001)
        wgan.learn(as_unit(following["canvas"]), as_unit(following["target"]))

    return measured(update, repeats=3) | {"replay_bytes_a_step": 2 * 7 * SIZE * SIZE + 4 * (13 * STROKES + 2)}


def compute_as_published(network: nn.Module) -> None:
    """The same numbers, computed without what ours gain by: planes interleaved in memory, thresholds in place."""
    for module in list(network.modules()):
        if isinstance(module, nn.Conv2d):
            module.register_forward_pre_hook(lambda layer, given: (given[0].contiguous(),))
        for name, child in module.named_children():
            if isinstance(child, TReLU):
                setattr(module, name, ShiftedReLU())


def our_update(compile: bool = False) -> Numbers:
    paint = task(reward="wgan", compile=compile)
    paint.learned["wgan"].updates = 1
    actor, critic = ResNetActor(paint.observation_space, paint.action_space), ResNetCritic(paint.observation_space)
    config = DDPGConfig(batch=LANES, microbatch=32, updates=1, capacity=LANES * 40, gamma=0.77, tau=0.001, noise=1.0)
    agent = DDPG(actor, critic, config, paint.imagine)
    env = TorchVectorEnv(paint, LANES, autoreset_mode="SameStep", tensors="torch")
    env.reset(seed=0)
    rollout = next(rollouts(env, agent, 1, start=env.observe()))

    def update() -> None:
        paint.learn(rollout.flatten().next_obs)
        agent.update(rollout)

    canvas_and_step = 3 * SIZE * SIZE + 8 + 1 + 8
    return measured(update, repeats=3) | {"replay_bytes_a_step": canvas_and_step + 3 * SIZE * SIZE / paint.steps}


ROWS: Rows = {
    "step, published": published_step,
    "step, ours, uniform strokes": partial(ours, our_step_uniform),
    "step, ours, a painter's strokes": partial(ours, our_step_painter),
    "step, ours, uniform strokes, compiled": partial(ours, our_step_uniform, compile=True),
    "step, ours, a painter's strokes, compiled": partial(ours, our_step_painter, compile=True),
    "update, published": published_update,
    "update, ours": partial(ours, our_update),
    "update, ours, compiled": partial(ours, our_update, compile=True),
}


def table(found: dict[str, Numbers]) -> Table:
    out = Table("", "seconds", "strokes/s", "against published", "peak memory", "replay, bytes a step")
    for row, numbers in found.items():
        kind = row.partition(",")[0]
        gain = found[f"{kind}, published"]["seconds"] / numbers["seconds"]
        strokes = f"{LANES * STROKES / numbers['seconds']:,.0f}" if kind == "step" else ""
        replay = f"{numbers['replay_bytes_a_step']:,.0f}" if "replay_bytes_a_step" in numbers else ""
        memory = f"{numbers['peak_bytes'] / 2**30:.2f} GiB"
        out.add_row(row, f"{numbers['seconds']:.3f}", strokes, f"{gain:.1f}x", memory, replay)
    return out


if __name__ == "__main__":
    main(__spec__.name, __doc__ or "", ROWS, table, Path("runs/published-speed.json"))
