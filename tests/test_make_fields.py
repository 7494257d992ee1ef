"""The training of the semantic fields of the embedded faces."""

import pytest
import torch
from safetensors.torch import load_file
from torch.nn.utils import parameters_to_vector

from retouch.benchmarks import make_fields
from retouch.benchmarks.checkpoint import read_tensors, write_tensors
from retouch.benchmarks.fields_card import measure, one_degree
from retouch.benchmarks.make_fields import Trainer, make
from retouch.simulators.face_fields import FrozenFields, SemanticFields, StraightLines, load_fields, save_fields
from retouch.simulators.face_latent import FaceLatent
from retouch.simulators.faces import ATTRIBUTES
from retouch.simulators.semantic_field import by_attribute, field_steps


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr(make_fields, "BATCH", 4)
    monkeypatch.setattr(make_fields, "TEST", 8)


def faces(count):
    return torch.randn(count, 40, generator=torch.Generator().manual_seed(0))


def test_training_lowers_the_error():
    trainer, probe = Trainer(0), faces(16)

    def error():
        with torch.no_grad():
            return trainer.error(probe)[0].item()

    before = error()
    for _ in range(20):
        trainer.update(0.0)
    assert error() < before


def test_only_the_field_of_the_attribute_learns_from_its_faces(monkeypatch):
    """And faces that have an attribute in full teach its field nothing."""
    trainer = Trainer(0)
    latent = trainer.latent.reach(faces(4), torch.tensor([[5.0, 2, 2, 2, 2]]).expand(4, 5))

    def sure(image):
        """Sees 5 degrees of the bangs, 2 of the others, but still tells how much like them the picture is."""
        logits = torch.zeros(len(image), 5, 6)
        logits[:, 0, 5] = 9.0
        logits[:, 1:, 2] = 9.0
        return logits + image.mean((1, 2, 3))[:, None, None] * torch.arange(6.0)

    monkeypatch.setattr(trainer.networks, "degrees", sure)
    trainer.error(latent).sum().backward()
    moved = {name: field.field[-1]["Linear"].bias.grad.abs().sum().item() for name, field in trainer.fields.items()}
    assert moved["bangs"] == 0
    assert all(moved[name] > 0 for name in ATTRIBUTES[1:])


def test_a_training_resumed_goes_on_as_one_that_never_stopped(tmp_path):
    """But for rounding, which differs from one rendering to the next."""
    whole, first = Trainer(0), Trainer(0)
    begin = parameters_to_vector(whole.fields.parameters()).detach()
    torch.manual_seed(1)
    for _ in range(3):
        whole.update(0.5)
    drawn = torch.get_rng_state()
    torch.manual_seed(1)
    first.update(0.5)
    write_tensors(tmp_path / "checkpoint.pt", first.state_dict())
    second = Trainer(0)
    second.load_state_dict(read_tensors(tmp_path / "checkpoint.pt"))
    for _ in range(2):
        second.update(0.5)
    assert second.updates == 3
    generator = torch.Generator()
    generator.set_state(drawn)
    assert torch.equal(torch.rand(3), torch.rand(3, generator=generator))
    mine, theirs = (parameters_to_vector(trainer.fields.parameters()) for trainer in (second, whole))
    assert (mine - theirs).abs().mean() < 0.02 * (theirs - begin).abs().mean()
    assert torch.allclose(second.losses, whole.losses, rtol=1e-3)
    with pytest.raises(ValueError, match="seed 0, not 1"):
        Trainer(1).load_state_dict(first.state_dict())


def test_make_writes_fields_and_their_card(tmp_path):
    table = make(tmp_path, minutes=1e-5)
    assert list(table) == [f"{base}: {attribute}" for base in ("field", "line") for attribute in ATTRIBUTES]
    card = (tmp_path / "face-fields.md").read_text()
    assert "--minutes 1e-05 --seed 0" in card and "| line: age |" in card
    assert sorted(path.name for path in tmp_path.iterdir()) == ["face-fields.md", "face-fields.safetensors"]
    assert load_fields(tmp_path / "face-fields.safetensors")(faces(2)).shape == (5, 2, 40)


def test_fields_are_scaled_for_steps_of_three_tenths_of_a_degree():
    fields, latent = Trainer(0).fields, FaceLatent()
    make_fields.scale(fields, latent)
    here = faces(20000)
    for place in range(5):
        with torch.no_grad():
            _, gain = torch.func.jvp(latent.factors, (here,), (fields(here)[place],))
        assert gain[:, place].mean().item() == pytest.approx(0.3, abs=0.02)


def test_files_hold_the_published_keys(tmp_path):
    fields = SemanticFields()
    save_fields(fields, tmp_path / "fields.safetensors")
    weights = load_file(tmp_path / "fields.safetensors")
    assert weights["beard.field.7.Linear.weight"].shape == (40, 128)
    again = load_fields(tmp_path / "fields.safetensors")
    assert torch.equal(again(faces(3)), fields(faces(3)))


@pytest.mark.parametrize("attribute", [[3], [2, 2, 2], [4, 0, 4, 1, 4, 0]])
def test_frozen_fields_are_the_fields(attribute):
    fields, asked = SemanticFields(), torch.tensor(attribute)
    frozen = FrozenFields(fields)

    def along(place, *walk):
        return field_steps(fields.functions[place], *walk, 3)

    here, edit, direction = faces(len(asked)), faces(len(asked)) / 10, torch.ones(len(asked)) - 2 * (asked % 2)
    walked = frozen.steps(here, edit, asked, direction, 3)
    torch.testing.assert_close(walked, by_attribute(along, asked, here, edit, direction))
    assert torch.equal(walked[:, 0], frozen.steps(here, edit, asked, direction, 1)[:, 0])
    assert not any(weight.requires_grad for weight in frozen.parameters())


def test_what_is_no_file_of_fields_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="make-weights fields"):
        load_fields(tmp_path / "nowhere.safetensors")
    (tmp_path / "broken.safetensors").write_bytes(b"no tensors")
    with pytest.raises(ValueError, match="broken.safetensors holds no fields"):
        load_fields(tmp_path / "broken.safetensors")


def test_the_oracle_costs_nothing_else():
    """The measure of the card, on steps that are exact: a quarter of a degree each, and nothing but that."""
    latent = FaceLatent()

    def step(here, attribute, direction):
        wanted = latent.degrees(here).clone()
        wanted[torch.arange(len(here)), attribute] += 0.25 * direction
        return latent.reach(here, wanted) - here

    row = one_degree(latent, faces(100), step, 3)
    assert row["reached"] == 1
    assert 4 <= row["steps"] < 5
    assert max(row["others"], row["person"], row["drift"]) < 1e-4


def test_straight_lines_step_three_tenths_of_a_degree_by_the_linear_fit():
    latent = FaceLatent(0.0)
    lines, start = StraightLines(latent), faces(50)
    for place in range(5):
        moved = start + lines.step(start, torch.full((50,), place), torch.ones(50))
        gain = (latent.factors(moved) - latent.factors(start))[:, place]
        assert torch.allclose(gain, torch.tensor(0.3), atol=1e-3)


def test_the_shipped_fields_cost_less_than_straight_lines():
    table = measure(load_fields(), 200, 5)
    for attribute in ATTRIBUTES:
        assert table[f"field: {attribute}"]["reached"] > 0.5
        assert table[f"field: {attribute}"]["person"] < table[f"line: {attribute}"]["person"]
