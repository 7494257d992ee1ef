"""Experience replay that keeps every tensor in its own dtype, and what stays the same through an episode once."""

from typing import Any

import torch
from torch import Tensor

from .rollout import Obs, Transition

FULL = ("action", "reward", "next_obs", "terminated")


class Replay:
    """The last ``capacity`` steps: ``obs``, and of the rest of a transition the fields that ``keep`` names.

    Observations named ``static`` (those of them that exist: a painting's target) are stored anew only where they
    change along a lane, so once an episode, and rows refer to them. That holds where an episode ends inside a
    rollout, goes on in the next one, or the environment was reset in between; naming a key that does change costs
    memory and is never wrong. A step's ``next_obs`` is of the same episode, and shares them.

    Rows lie on ``device`` (default: the rollout's). ``sample`` draws from torch's global generator.
    """

    def __init__(
        self,
        capacity: int,
        keep: tuple[str, ...] = FULL,
        static: tuple[str, ...] = (),
        device: str | torch.device | None = None,
    ):
        self.capacity, self.keep, self.static, self.device = capacity, keep, static, device
        self.seen = 0  # steps ever added; step i lies in row i % capacity
        self.rows: dict[str, Tensor] = {}  # [capacity, ...] by column
        self.shared: dict[str, Tensor] = {}  # [slots, ...] by static key
        self.slot = torch.empty(0, dtype=torch.int64)  # [capacity], each row's place in ``shared``
        self.users = torch.empty(0, dtype=torch.int64)  # [slots], rows that refer to each

    def __len__(self) -> int:
        return min(self.seen, self.capacity)

    @property
    def nbytes(self) -> int:
        """Bytes reserved, for all ``capacity`` rows."""
        tensors = [*self.rows.values(), *self.shared.values(), self.slot, self.users]
        return sum(tensor.nbytes for tensor in tensors)

    def add(self, rollout: Transition) -> None:
        """Remember a rollout ``[T, B]``. Raises ValueError if it is larger than the whole replay."""
        count = rollout.reward.numel()
        if count > self.capacity:
            raise ValueError(f"a rollout of {count} steps does not fit a replay of {self.capacity}")
        place = self.device or rollout.reward.device
        columns = {name: x.flatten(0, 1).to(place) for name, x in self._columns(rollout).items()}
        static = {key: rollout.obs[key].to(place) for key in self.static if key in rollout.obs}
        if not self.rows:
            self._reserve(columns)
        steps = torch.arange(self.seen, self.seen + count, device=self.slot.device)
        if static:
            self._share(static, steps)
        for name, column in columns.items():
            self.rows[name][steps % self.capacity] = column
        self.seen += count

    def sample(self, n: int) -> Transition:
        """``n`` rows, drawn with replacement; a field that is not kept comes back empty."""
        index = torch.randint(len(self), (n,), device=self.slot.device)
        rows = {name: column[index] for name, column in self.rows.items()}
        shared = {key: values[self.slot[index]] for key, values in self.shared.items()}
        nothing = self.slot.new_empty(n, 0)

        def observation(field: str) -> Obs:
            return {name.removeprefix(f"{field}/"): x for name, x in rows.items() if name.startswith(f"{field}/")}

        return Transition(
            obs=observation("obs") | shared,
            action=rows.get("action", nothing),
            reward=rows.get("reward", nothing),
            next_obs=observation("next_obs") | shared if "next_obs" in self.keep else {},
            terminated=rows.get("terminated", nothing),
            truncated=nothing,
            extras={},
        )

    def state_dict(self) -> dict[str, Any]:
        """Everything, row for row, so that the same random numbers draw the same samples."""
        # a view would be saved with the whole of its storage
        kept = {name: x if len(self) == self.capacity else x[: len(self)].clone() for name, x in self.rows.items()}
        slot = self.slot[: len(self)].clone()
        return {"seen": self.seen, "rows": kept, "shared": self.shared, "slot": slot, "users": self.users}

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        """Raises ValueError if what was saved does not fit the capacity."""
        size = min(saved["seen"], self.capacity)
        if any(len(x) != size for x in saved["rows"].values()):
            raise ValueError(f"the saved replay does not fit a capacity of {self.capacity}: build it as it was")
        place = self.device or saved["slot"].device
        self.seen, self.rows = saved["seen"], {}
        if saved["rows"]:
            self._reserve({name: x.to(place) for name, x in saved["rows"].items()})
        for name, column in self.rows.items():
            column[:size] = saved["rows"][name].to(place)
        self.slot[:size] = saved["slot"].to(place)
        self.shared = {key: x.to(place).clone() for key, x in saved["shared"].items()}
        self.users = saved["users"].to(place).clone()

    def _columns(self, rollout: Transition) -> dict[str, Tensor]:
        """What is stored once a row, by name."""
        columns: dict[str, Tensor] = {}
        for field in ("obs", *self.keep):
            value = getattr(rollout, field)
            if isinstance(value, Tensor):
                columns[field] = value
            else:
                columns |= {f"{field}/{key}": x for key, x in value.items() if key not in self.static}
        return columns

    def _reserve(self, columns: dict[str, Tensor]) -> None:
        """Room for all rows; the system hands out its pages only when they are written."""
        self.rows = {name: x.new_empty(self.capacity, *x.shape[1:]) for name, x in columns.items()}
        device = next(iter(columns.values())).device
        self.slot = torch.zeros(self.capacity, dtype=torch.int64, device=device)
        self.users = torch.zeros(0, dtype=torch.int64, device=device)

    def _share(self, static: Obs, steps: Tensor) -> None:
        """Store ``static`` ``[T, B, ...]`` where it changes, and note for the rows of ``steps`` where it lies."""
        time, lanes = next(iter(static.values())).shape[:2]
        # the last row of each lane is alive, and so is the slot that it refers to
        before = self.slot[(steps[:lanes] - lanes) % self.capacity]
        fresh = self._changed(static, before)
        slots = self._allocate(int(fresh.sum()), static)  # before old rows let go of theirs: ``before`` is among them
        for key, x in static.items():
            self.shared[key][slots] = x[fresh]
        place = before.repeat(time, 1)
        place[fresh] = slots
        began = torch.where(fresh, torch.arange(time, device=fresh.device)[:, None], 0).cummax(0).values
        place = place.gather(0, began).flatten()
        rows = steps % self.capacity
        stale = self.slot[rows[steps >= self.capacity]]
        self.users.index_add_(0, stale, -torch.ones_like(stale))
        self.users.index_add_(0, place, torch.ones_like(place))
        self.slot[rows] = place

    def _changed(self, static: Obs, before: Tensor) -> Tensor:
        """``[T, B]`` bool: where any of ``static`` differs from the step before, whose slots are ``before`` ``[B]``."""
        time, lanes = next(iter(static.values())).shape[:2]
        fresh = torch.zeros(time, lanes, dtype=torch.bool, device=before.device)
        fresh[0] = self.seen < lanes
        for key, x in static.items():
            if self.seen >= lanes:
                fresh[0] |= differs(x[0], self.shared[key][before])
            for t in range(1, time):
                fresh[t] |= differs(x[t], x[t - 1])
        return fresh

    def _allocate(self, count: int, static: Obs) -> Tensor:
        """``count`` slots that no row refers to, growing ``shared`` if there are too few."""
        free = (self.users == 0).nonzero().flatten()
        if len(free) < count:
            room = max(count - len(free), len(self.users))
            for key, x in static.items():
                more = x.new_empty(room, *x.shape[2:])
                self.shared[key] = torch.cat([self.shared[key], more]) if key in self.shared else more
            free = torch.cat([free, torch.arange(room, device=free.device) + len(self.users)])
            self.users = torch.cat([self.users, self.users.new_zeros(room)])
        return free[:count]


def differs(one: Tensor, other: Tensor) -> Tensor:
    """``[B]`` bool: where two ``[B, ...]`` are not equal throughout."""
    return (one != other).flatten(1).any(1)
