"""The training of the shipped painter."""

import pytest
import torch
from safetensors.torch import load_file

from retouch.agents.policies.painter import StrokeNet
from retouch.benchmarks import make_painter
from retouch.benchmarks.checkpoint import read_tensors, write_tensors
from retouch.benchmarks.make_painter import SIZE, Pool, Trainer, crops, make
from retouch.simulators.targets import make_targets


@pytest.fixture(autouse=True)
def small(monkeypatch):
    for name, value in {"SCENES": 4, "POOL": 6, "BATCH": 2}.items():
        monkeypatch.setattr(make_painter, name, value)


def test_crops_are_squares_of_scenes():
    found = crops(make_targets("embedded:2", size=192), 5)
    assert found.shape == (5, 3, SIZE, SIZE)
    assert 0 <= found.min() and found.max() <= 1
    assert found.std() > 0.01


def test_a_canvas_at_its_limit_makes_room_for_a_black_one():
    torch.manual_seed(0)
    scenes = make_targets("embedded:2", size=192)
    pool = Pool.begin(scenes, 3)
    pool.limit[:] = torch.tensor([1.0, 2.0, 2.0])
    before = pool.target.clone()
    pool.advance(torch.tensor([0, 1]), torch.full((2, 3, SIZE, SIZE), 0.5), scenes)
    assert pool.canvas.amax((1, 2, 3)).tolist() == pytest.approx([0, 0.5, 0], abs=0.003)
    assert pool.step.tolist() == [0, 1, 0]
    assert [torch.equal(pool.target[i], before[i]) for i in range(3)] == [False, True, True]


def test_a_training_resumed_equals_one_that_never_stopped(tmp_path):
    whole = Trainer(0)
    for _ in range(3):
        whole.update(0.5)
    first = Trainer(0)
    first.update(0.5)
    write_tensors(tmp_path / "checkpoint.pt", first.state_dict())
    second = Trainer(7)
    second.scenes = first.scenes
    second.load_state_dict(read_tensors(tmp_path / "checkpoint.pt"))
    for _ in range(2):
        second.update(0.5)
    assert second.updates == 3
    for mine, theirs in zip(second.average.parameters(), whole.average.parameters(), strict=True):
        assert torch.equal(mine, theirs)


def test_training_raises_what_a_proposal_gains():
    trainer = Trainer(0)
    trainer.pool.limit[:] = 1000

    def gained():
        _, gain, _, error = trainer.imagine(trainer.pool.target * 0.5, trainer.pool.target)
        return (gain / (error + 1)).mean().item()

    before = gained()
    for _ in range(12):
        trainer.update(0.0)
    assert gained() > before + 0.01


def test_make_writes_weights_and_their_card(tmp_path, capsys):
    pytest.importorskip("skimage")
    table = make(tmp_path, minutes=0.005, counts=(5,))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["painter.md", "painter.safetensors"]
    StrokeNet().load_state_dict(load_file(tmp_path / "painter.safetensors"))
    assert set(table["coffee"]) == {"painter", "optimiser", "random strokes", "one colour"}
    assert table["coffee"]["one colour"] == [pytest.approx(0.0598, abs=0.001)]
    assert "| coffee | optimiser |" in (tmp_path / "painter.md").read_text()
    assert "updates/s" in capsys.readouterr().out
