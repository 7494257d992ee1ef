"""The training of the networks that look at embedded faces."""

import pytest
import torch

from retouch.benchmarks import make_face_networks
from retouch.benchmarks.checkpoint import read_tensors, write_tensors
from retouch.benchmarks.face_networks_card import Pairs, measure, told_apart
from retouch.benchmarks.make_face_networks import Trainer, make, photographer
from retouch.simulators.face_networks import FaceNetworks, load_face_networks


@pytest.fixture(autouse=True)
def small(monkeypatch):
    for name, value in {"POOL": 16, "BATCH": 8, "FRESH": 2, "TEST": 8}.items():
        monkeypatch.setattr(make_face_networks, name, value)


def test_pairs_are_one_person_with_other_degrees():
    torch.manual_seed(0)
    pairs = photographer()(200)
    assert pairs.image.shape == (200, 2, 3, 64, 64) and pairs.image.dtype == torch.uint8
    assert pairs.degrees.min() == 0 and pairs.degrees.max() == 5
    assert pairs.likely.mean() == pytest.approx(0.5, abs=0.1)
    assert (pairs.degrees[:, 0] != pairs.degrees[:, 1]).float().mean() > 0.7
    assert (pairs.degrees[:, 1].round() == 5).float().mean() > (pairs.degrees[:, 0].round() == 5).float().mean()


def test_training_lowers_the_errors(monkeypatch):
    monkeypatch.setattr(make_face_networks, "FRESH", 0)
    trainer, probe = Trainer(0), torch.arange(16)

    def errors():
        with torch.no_grad():
            return trainer.error(probe)

    before = errors()
    for _ in range(15):
        trainer.update(0.0)
    assert (errors() < before).all()


def test_a_training_resumed_equals_one_that_never_stopped(tmp_path):
    whole, first = Trainer(0), Trainer(0)
    torch.manual_seed(1)
    for _ in range(3):
        whole.update(0.5)
    torch.manual_seed(1)
    first.update(0.5)
    write_tensors(tmp_path / "checkpoint.pt", first.state_dict())
    second = Trainer(0)
    second.load_state_dict(read_tensors(tmp_path / "checkpoint.pt"))
    for _ in range(2):
        second.update(0.5)
    assert second.updates == 3
    pairs = zip(second.average.state_dict().values(), whole.average.state_dict().values(), strict=True)
    assert all(torch.equal(mine, theirs) for mine, theirs in pairs)
    with pytest.raises(ValueError, match="seed 0, not 1"):
        Trainer(1).load_state_dict(first.state_dict())


def test_make_writes_two_sets_that_differ_and_their_card(tmp_path):
    scores = make(tmp_path, minutes=1e-5)
    assert list(scores) == ["world", "evaluation"]
    names = ["face-networks-evaluation.safetensors", "face-networks.md", "face-networks.safetensors"]
    assert sorted(path.name for path in tmp_path.iterdir()) == names
    assert "--minutes 1e-05 --seed 0" in (tmp_path / "face-networks.md").read_text()
    mine, theirs = (load_face_networks(str(tmp_path / name)) for name in (names[2], names[0]))
    image = torch.rand(2, 3, 64, 64)
    assert not torch.allclose(mine.degrees(image), theirs.degrees(image), atol=1e-3)


def test_networks_that_see_everything_score_full_marks():
    """And those that see nothing as much as guessing does."""
    count = 64
    degrees = 5 * torch.rand(count, 2, 5, generator=torch.Generator().manual_seed(0))
    image = torch.arange(count * 2, dtype=torch.uint8).view(count, 2, 1, 1, 1).expand(-1, -1, 3, 64, 64)
    pairs = Pairs(image, degrees, (torch.arange(count) % 2).float())

    class Omniscient(FaceNetworks):
        def place(self, image):
            return (255 * image[:, 0, 0, 0]).round().long()

        def degrees(self, image):
            return torch.nn.functional.one_hot(degrees.flatten(0, 1)[self.place(image)].round().long(), 6).float()

        def embed(self, image):
            return torch.eye(count)[self.place(image) // 2]

        def likely(self, image):
            return pairs.likely[self.place(image) // 2]

    class Blind(Omniscient):
        def place(self, image):
            return torch.zeros(len(image), dtype=torch.long)

    scores = measure(Omniscient(), pairs)
    assert all(share == 1 for row in scores.values() for share in row.values())
    blind = measure(Blind(), pairs)
    assert blind["person"]["verified"] == blind["likely"]["told"] == 0.5
    assert blind["smiling"]["all"] < 0.4


def test_the_best_threshold_is_found():
    assert told_apart(torch.tensor([2.0, 3, 4, 0]), torch.tensor([1.0, -1, 1, 1])) == 0.875


def test_the_shipped_networks_see_faces_they_have_not_seen():
    torch.manual_seed(123)
    pairs = photographer()(256)
    for name in ("world", "evaluation"):
        scores = measure(load_face_networks(name), pairs)
        assert min(scores[attribute]["within one"] for attribute in scores if "within one" in scores[attribute]) > 0.95
        assert scores["person"]["verified"] > 0.9
