"""The published editing loop beside ours: the same steps, and that every row runs."""

import pytest
import torch

from retouch.agents.policies.diffusion import Step
from retouch.benchmarks import published_edit_speed, published_speed, side_by_side
from retouch.benchmarks.published_edit_speed import SCALE, SIDES, Ours, Published, problems, sample, update
from retouch.benchmarks.random_pipeline import save_pipeline
from retouch.benchmarks.side_by_side import measured
from retouch.simulators.ddim import DDIM
from retouch.simulators.editors import load_editor

NARROW, STEPS = (32, 64), 3


@pytest.fixture(autouse=True)
def few_steps(monkeypatch):
    monkeypatch.setattr(published_edit_speed, "STEPS", STEPS)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return save_pipeline(tmp_path_factory.mktemp("pipeline"), NARROW)


@torch.no_grad()
def test_a_published_step_is_ours(folder):
    """Guidance, mean and log-probability, at the first step, one in the middle and the last."""
    published, editor = Published(folder), load_editor(str(folder))
    ddim = DDIM(editor.schedule, STEPS)
    images, texts = problems(3)
    _, path = published.sample(images, texts)
    left = torch.tensor([3, 2, 1])
    lanes, place = torch.arange(3), STEPS - left
    latent, following = path.latents[place, lanes], path.latents[place + 1, lanes]
    condition, text = editor.encode(images), editor.embed(editor.tokens(texts))
    torch.testing.assert_close((condition, text), (path.condition, path.text))
    assert torch.equal(ddim.timestep(left), published.timesteps[place])
    output = editor.guided(latent, ddim.timestep(left), condition, text, SCALE)
    torch.testing.assert_close(output, published.guided(latent, ddim.timestep(left), condition, text))
    step = Step(*ddim.gaussian(output, latent, left))
    torch.testing.assert_close(step.log_prob(following), path.log_probs[place, lanes], atol=1e-5, rtol=0)


def test_a_published_update_learns_what_was_good(folder):
    published = Published(folder)
    torch.manual_seed(0)
    _, path = published.sample(*problems(2))

    def log_probs():
        times = published.timesteps[:, None].expand(-1, 2)
        steps = zip(path.latents, times, path.latents[1:], strict=False)
        return torch.stack(
            [
                published.step(published.guided(x, t, path.condition, path.text), x, t, following)[1]
                for x, t, following in steps
            ]
        )

    with torch.no_grad():
        torch.testing.assert_close(log_probs(), path.log_probs, atol=1e-5, rtol=0)
    published.update(path, torch.tensor([1.0, -1.0]))
    with torch.no_grad():
        good, bad = (log_probs() - path.log_probs).sum(0)
    assert good > bad


def test_ours_learns_from_all_steps_in_one(folder):
    ours = Ours(folder, 2, "full")
    rollout = next(ours.paths)
    assert rollout.reward.shape == (STEPS, 2) and rollout.done[-1].all()
    metrics = ours.agent.update(rollout)
    assert metrics["kl"] == pytest.approx(0, abs=1e-6)
    assert {state["step"].item() for state in ours.agent.optimizer.state.values()} == {1.0}


ROWS = [(sample, "published"), (sample, "ours none"), *((update, side) for side in SIDES)]


@pytest.mark.parametrize(("work", "side"), ROWS)
def test_every_row_runs(work, side, monkeypatch):
    monkeypatch.setattr(published_edit_speed, "measured", lambda work, repeats=5: measured(work, 1))
    found = work(side, 1, NARROW)
    assert found["seconds"] > 0 and found["peak_bytes"] > 2**20


def test_gains_are_over_the_published_row_of_the_same_work():
    seconds = {side: 1.0 for side in SIDES} | {"published": 3.0}
    found = {
        row: {"seconds": seconds[row.rpartition(", ")[2]], "peak_bytes": 2.0**20, "images": 4}
        for row in published_edit_speed.ROWS
    }
    shown = published_edit_speed.table(found)
    gains = list(shown.columns[3].cells)
    assert len(gains) == 20 and gains[:4] == ["1.00x", "3.00x", "3.00x", "3.00x"]


def test_a_task_without_a_published_design_is_refused():
    with pytest.raises(ValueError, match="no published design of Pendulum-v1 .* StrokePaint-v0, ImageEdit-v0"):
        side_by_side.compare("Pendulum-v1", print)


def test_rows_are_measured_in_processes_of_their_own(monkeypatch):
    calls = []
    numbers = {"seconds": 1.0, "peak_bytes": 2.0**20}
    monkeypatch.setattr(side_by_side, "measure_apart", lambda *call: calls.append(call) or numbers)
    found, _ = side_by_side.compare("StrokePaint-v0", lambda text: None)
    assert list(found) == list(published_speed.ROWS)
    assert calls == [("retouch.benchmarks.published_speed", row, torch.get_num_threads()) for row in found]
