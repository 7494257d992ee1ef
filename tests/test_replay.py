"""What comes out of the replay is what went in, however episodes and rollouts lie."""

import pytest
import torch

from retouch.agents.replay import FULL, Replay
from retouch.agents.rollout import Transition

SIZE = 16


class Painting:
    """Lanes of episodes whose target is a number of its own, and whose canvas counts steps."""

    def __init__(self, lanes: int, lengths=(3,)):
        self.lengths, self.lanes = lengths, lanes
        self.next_target = lanes
        self.target, self.step = list(range(lanes)), [0] * lanes

    def rollout(self, steps: int) -> Transition:
        return Transition.stack([self.one_step() for _ in range(steps)])

    def one_step(self) -> Transition:
        obs = self.observe()
        self.step = [step + 1 for step in self.step]
        after = self.observe()
        ends = [step >= self.lengths[t % len(self.lengths)] for step, t in zip(self.step, self.target, strict=True)]
        for lane, ended in enumerate(ends):
            if ended:
                self.target[lane], self.step[lane] = self.next_target, 0
                self.next_target += 1
        done = torch.tensor(ends)
        reward = obs["target"].flatten(1)[:, 0].float() * 1000 + obs["step"]
        return Transition(obs, reward[:, None], reward, after, done, torch.zeros_like(done), {})

    def observe(self) -> dict[str, torch.Tensor]:
        def image(values):
            return torch.tensor(values, dtype=torch.uint8)[:, None, None, None].expand(-1, 3, SIZE, SIZE).clone()

        return {"canvas": image(self.step), "target": image(self.target), "step": torch.tensor(self.step)}


def check(replay: Replay, n: int = 64) -> None:
    """Every field of every row tells the same story, and every slot knows its rows."""
    rows_of_slots = torch.bincount(replay.slot[: len(replay)], minlength=len(replay.users))
    assert torch.equal(rows_of_slots, replay.users)
    batch = replay.sample(n)
    target, step = batch.reward.long() // 1000, batch.reward.long() % 1000
    for obs, later in ((batch.obs, 0), (batch.next_obs, 1)):
        assert obs["target"].dtype == torch.uint8 and (obs["target"].flatten(1) == target[:, None]).all()
        assert (obs["canvas"].flatten(1) == step[:, None] + later).all()
        assert torch.equal(obs["step"], step + later)


@pytest.mark.parametrize("steps", [1, 2, 3, 4, 7])
@pytest.mark.parametrize("lengths", [(3,), (1,), (2, 5), (1, 100)])
@pytest.mark.parametrize("capacity", [28, 30, 64])
def test_returns_what_was_added(steps, lengths, capacity):
    """Rollouts cut episodes, episodes end inside rollouts, lanes fall out of step, the ring wraps around."""
    replay, painting = Replay(capacity, static=("target",)), Painting(4, lengths)
    for _ in range(9):
        replay.add(painting.rollout(steps))
        check(replay)
    assert len(replay) == min(capacity, 9 * 4 * steps)


def test_keeps_the_last_steps_and_forgets_the_oldest():
    replay, painting = Replay(8), Painting(2)
    rollouts = [painting.rollout(2) for _ in range(4)]
    for rollout in rollouts:
        replay.add(rollout)
    kept = set(torch.cat([r.reward.flatten() for r in rollouts[2:]]).tolist())
    torch.manual_seed(0)
    assert set(replay.sample(400).reward.tolist()) == kept


def test_a_reset_between_rollouts_mixes_nothing():
    replay, painting = Replay(64, static=("target",)), Painting(4, (100,))
    replay.add(painting.rollout(2))
    painting.target, painting.step = [60, 61, 62, 63], [0] * 4
    replay.add(painting.rollout(2))
    check(replay)


def test_another_number_of_lanes_mixes_nothing():
    replay = Replay(64, static=("target",))
    for lanes in (4, 2, 6, 1):
        replay.add(Painting(lanes).rollout(3))
        check(replay)


def test_what_is_static_is_stored_once_an_episode():
    replay, painting = Replay(32, static=("target", "mask")), Painting(4, (8,))
    for _ in range(8):
        replay.add(painting.rollout(4))
    assert (replay.users > 0).sum() == 4  # 32 rows: 4 episodes of 8 steps
    assert len(replay.users) <= 16
    check(replay)


def rollout_of_paintings(size: int, lanes: int, steps: int) -> Transition:
    image = torch.randint(256, (lanes, 3, size, size), dtype=torch.uint8)
    obs = {"canvas": image, "target": image, "step": torch.zeros(lanes, dtype=torch.int64)}
    flags = torch.zeros(lanes, dtype=torch.bool)
    step = Transition(obs, torch.zeros(lanes, 65), torch.zeros(lanes), obs, flags, flags, {})
    return Transition.stack([step] * steps)


def test_bytes_a_transition():
    """At 128 px and 40 steps; the published replay holds two whole states, 229,644 B."""
    rollout = rollout_of_paintings(128, 4, 40)
    only_obs, full = (Replay(160, keep, ("target",)) for keep in (("terminated",), FULL))
    for replay in (only_obs, full):
        replay.add(rollout)
    assert only_obs.nbytes / 160 < 50_500
    assert full.nbytes / 160 < 100_000


def test_fields_that_are_not_kept_come_back_empty():
    replay = Replay(16, ("terminated",), ("target",))
    replay.add(Painting(2).rollout(3))
    batch = replay.sample(5)
    assert batch.next_obs == {} and batch.action.shape == (5, 0) and len(batch) == 5
    assert batch.terminated.shape == (5,) and set(batch.obs) == {"canvas", "target", "step"}


def test_the_seed_decides_what_is_drawn():
    replay = Replay(64)
    replay.add(Painting(4).rollout(5))
    draws = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        draws.append(replay.sample(16).reward)
    assert torch.equal(draws[0], draws[1]) and not torch.equal(draws[0], draws[2])


@pytest.mark.parametrize("before", [1, 4])
def test_resumes_bit_for_bit(tmp_path, before):
    """Saved half full and after it has wrapped around."""
    one, painting = Replay(30, static=("target",)), Painting(4)
    for _ in range(before):
        one.add(painting.rollout(3))
    torch.save(one.state_dict(), tmp_path / "replay.pt")
    two = Replay(30, static=("target",))
    two.load_state_dict(torch.load(tmp_path / "replay.pt", weights_only=True))
    for _ in range(3):
        more = painting.rollout(4)
        samples = []
        for replay in (one, two):
            replay.add(more)
            torch.manual_seed(7)
            samples.append(replay.sample(40))
        assert torch.equal(samples[0].reward, samples[1].reward)
        assert torch.equal(samples[0].obs["target"], samples[1].obs["target"])
        check(two)


def test_a_half_full_replay_is_saved_without_its_empty_rows():
    replay = Replay(1000)
    replay.add(Painting(4).rollout(3))
    assert all(x.untyped_storage().nbytes() == x.nbytes for x in replay.state_dict()["rows"].values())


def test_refuses_what_does_not_fit():
    replay = Replay(8)
    with pytest.raises(ValueError, match="a rollout of 12 steps does not fit a replay of 8"):
        replay.add(Painting(4).rollout(3))
    big = Replay(40)
    big.add(Painting(4).rollout(6))
    with pytest.raises(ValueError, match="does not fit a capacity of 8"):
        replay.load_state_dict(big.state_dict())
