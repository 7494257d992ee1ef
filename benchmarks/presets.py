"""Published settings by name: what `--preset NAME` puts before the settings of a command line."""

from dataclasses import dataclass

from .config import hint


@dataclass(frozen=True)
class Preset:
    """Settings of one agent at one task, as a user would type them."""

    task: str
    agent: str
    settings: tuple[str, ...]


PRESETS = {
    # Table 4 of InstructRL4Pix (Li et al., 2024, arXiv:2406.09973), which is DDPO's own table (Black et al., 2023) with
    # six values changed. What it leaves open is taken from DDPO (rank, decay of weights), from InstructPix2Pix (image
    # guidance) and from the paper's text (reward); its eight samples an epoch are two on each of four GPUs.
    "instructrl4pix": Preset(
        "ImageEdit-v0",
        "ppo",
        (
            "updates=200",
            "checkpoint_every=50",
            "keep=5",
            "num_envs=8",
            "rollout=50",
            "env.steps=50",
            "env.eta=1.0",
            "env.scale=5.0,1.5",
            "env.dtype=float32",
            "env.control=latent",
            'env.reward={"attention": 1.0, "clipped_mae": -1.0}',
            "policy.network=denoiser",
            "policy.full=false",
            "policy.rank=4",
            "policy.cfg=full",
            "agent.lr=2e-4",
            "agent.eight_bit=true",
            "agent.weight_decay=1e-4",
            "agent.epochs=1",
            "agent.minibatch=50",
            "agent.by_episode=true",
            "agent.accumulate=1",
            "agent.share=1.0",
            "agent.window=0,0",
            "agent.clip=1e-4",
            "agent.advantage_clip=5.0",
            "agent.max_grad_norm=1.0",
            "agent.advantage=grouped",
            "agent.group=source,instruction",
            "agent.history=16",
            "agent.least=16",
            "agent.normalize=false",
        ),
    ),
}


def preset(name: str, task: str, agent: str) -> tuple[str, ...]:
    """The settings of the preset `name`; none where it is empty. Raises ValueError for another task or agent's."""
    if not name:
        return ()
    if name not in PRESETS:
        raise ValueError(f"no preset {name!r}; {hint(name, list(PRESETS))}")
    found = PRESETS[name]
    if (found.task, found.agent) != (task, agent):
        raise ValueError(f"the preset {name} is of {found.agent} on {found.task}, not of {agent} on {task}")
    return found.settings
