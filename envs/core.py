"""What a task is: a few pure functions over a batch of episodes."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, is_dataclass, replace
from importlib import import_module
from inspect import signature
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar

import gymnasium as gym
import torch
from torch import Tensor

from .random import LaneRandom

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Obs = dict[str, Tensor]  # every value [B, ...]
Options = Mapping[str, Any]  # what a user hands to ``reset(options=...)``
State = TypeVar("State", bound="DataclassInstance")  # frozen, of tensors [B, ...] or further such states


class Task(Generic[State]):
    """One decision problem, played by B independent episodes at once.

    A task holds what never changes (models, data, spaces). Everything that changes is in the ``State`` it is
    handed, and no method modifies its arguments. Batching, resetting, seeding, NumPy and SB3 are the adapters'
    business (``envs.vector``, ``envs.single``, ``envs.sb3``).
    """

    observation_space: gym.spaces.Dict  # of one episode
    action_space: gym.Space  # of one episode
    device: torch.device
    constants: dict[str, Tensor] = {}  # fixed tensors a policy may need, e.g. item features
    learned: Mapping[str, torch.nn.Module] = {}  # the parts of the reward that ``learn`` fits
    model_calls: tuple[tuple[object, str], ...] = ()  # (owner, method): where a step's time in its model is spent
    sources: Sequence[str] = ()  # the names of what episodes are drawn from, where that is a fixed list
    reset_options: tuple[str, ...] = ()  # the keys that ``initial`` understands
    horizon: int | None = None  # the step that ends every episode and no step before it does; None: any step may
    unit: str = "steps"  # what a step spends ...
    units_per_step: int = 1  # ... and how much of it
    curves: bool = True  # whether metrics say more when they are taken on the way too, not at an episode's end alone
    render_fps: int = 10
    compile: bool = False  # whether torch.compile fuses some of it, which every process does anew

    def initial(self, rng: LaneRandom, options: Options) -> State:
        """The first state of one new episode a lane of ``rng``."""
        raise NotImplementedError

    def observe(self, state: State) -> Obs:
        """What the agent sees. All it needs: history belongs in here, not in the agent."""
        raise NotImplementedError

    def transition(self, state: State, action: Tensor, rng: LaneRandom | None) -> State:
        """The state that follows an action inside the action space."""
        raise NotImplementedError

    def reward(self, state: State, action: Tensor, next_state: State) -> dict[str, Tensor]:
        """The terms of the reward by name, ``[B]`` float32 each; the reward is their sum."""
        raise NotImplementedError

    def terminated(self, state: State) -> Tensor:
        """``[B]`` bool: the episode is over and nothing can follow."""
        raise NotImplementedError

    def metrics(self, state: State) -> dict[str, Tensor]:
        """What a benchmark reports of a state, every value ``[B]``; NaN where one says nothing of an episode."""
        return {}

    def learn(self, obs: Obs) -> dict[str, float]:
        """Fit what of the reward is learned, on observations ``[N, ...]`` that followed a step; its metrics."""
        return {}

    def share(self, other: Self) -> None:
        """Take over what training changes from ``other``, the same task on other episodes."""
        self.learned = other.learned

    def render(self, state: State) -> Tensor:
        """``[B, H, W, 3]`` uint8, what a person should see of each episode."""
        raise NotImplementedError

    def step(self, state: State, action: Tensor, rng: LaneRandom | None) -> tuple[State, dict[str, Tensor]]:
        """Follow ``action`` ``[B, ...]``, projected onto the action space: the next state and the reward's terms."""
        action = project(action, self.action_space)
        next_state = self.transition(state, action, rng)
        terms = self.reward(state, action, next_state)
        return next_state, {f"reward/{name}": term for name, term in terms.items()}


def project(action: Tensor, space: gym.Space) -> Tensor:
    """The nearest action inside ``space``; a box alone has an outside."""
    if not isinstance(space, gym.spaces.Box):
        return action
    low, high = (torch.as_tensor(bound, device=action.device) for bound in (space.low, space.high))
    return action.to(low.dtype).clamp(low, high)


def merge(join: Callable[[Tensor, Tensor], Tensor], state: State, other: State) -> State:
    """``join`` of every two tensors of the same name."""

    def both(mine: Any, others: Any) -> Any:
        return merge(join, mine, others) if is_dataclass(mine) else join(mine, others)

    return replace(state, **{f.name: both(getattr(state, f.name), getattr(other, f.name)) for f in fields(state)})


def take(state: State, lanes: Tensor) -> State:
    """The episodes at ``lanes`` (indices ``[M]``) alone."""
    return merge(lambda tensor, _: tensor[lanes], state, state)


def put(state: State, lanes: Tensor, fresh: State) -> State:
    """``state`` with the episodes at ``lanes`` (indices ``[M]``) replaced by ``fresh``'s, in order."""
    return merge(lambda old, new: old.index_copy(0, lanes, new), state, fresh)


def where(mask: Tensor, state: State, other: State) -> State:
    """``state`` in the episodes of ``mask`` ``[B]`` bool, ``other`` elsewhere."""
    return merge(lambda one, two: torch.where(mask.view(-1, *[1] * (one.ndim - 1)), one, two), state, other)


def tensors(state: "DataclassInstance") -> dict[str, Any]:
    """The tensors of ``state`` by name; those of a state within it as a dictionary of their own."""
    named = {f.name: getattr(state, f.name) for f in fields(state)}
    return {name: value if isinstance(value, Tensor) else tensors(value) for name, value in named.items()}


def restored(state: State, saved: Mapping[str, Any], device: torch.device) -> State:
    """``state`` with the tensors that ``tensors`` gave of another."""

    def back(mine: Any, value: Any) -> Any:
        return value.to(device) if isinstance(mine, Tensor) else restored(mine, value, device)

    return replace(state, **{name: back(getattr(state, name), value) for name, value in saved.items()})


def total(terms: Mapping[str, Tensor]) -> Tensor:
    """The reward ``[B]``: the sum of its terms."""
    return torch.stack(list(terms.values())).sum(0)


def as_unit(image: Tensor) -> Tensor:
    """uint8 in {0, ..., 255} as float in [0, 1]; a float stays as it is."""
    return image.float().div_(255) if image.dtype == torch.uint8 else image


def make_task(task: Task | type[Task] | str, **options: Any) -> Task:
    """A task as it is, or built from its class, or the name ``module:Class`` of one within this package, and arguments.

    Raises ValueError for an argument that the task does not have, naming those it has.
    """
    if isinstance(task, Task):
        return task
    builder = named_task(task) if isinstance(task, str) else task
    known = list(signature(builder).parameters)
    for option in options:
        if option not in known:
            raise ValueError(f"{builder.__name__} has no argument {option!r}; it has {', '.join(known)}")
    return builder(**options)


def named_task(name: str) -> type[Task]:
    """The class ``module:Class`` within this package."""
    module, _, kind = name.partition(":")
    return getattr(import_module(f".{module}", __package__), kind)


def check_options(task: Task, options: Options | None) -> dict[str, Any]:
    """``options`` as a dict. Raises ValueError for a key that the task does not understand."""
    options = dict(options or {})
    for key in options:
        if key not in task.reset_options:
            raise ValueError(f"no reset option {key!r}; this task has {', '.join(task.reset_options) or 'none'}")
    return options
