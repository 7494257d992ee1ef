"""The embedded world of faces, as it is shipped."""

import pytest
import torch

from retouch.simulators.face_networks import load_face_networks
from retouch.simulators.face_world import EmbeddedFaces
from retouch.simulators.faces import ATTRIBUTES


@pytest.fixture(scope="module")
def faces():
    return EmbeddedFaces()


@pytest.fixture(scope="module")
def latent(faces):
    return faces.sample(torch.randn(64, faces.noise_size, generator=torch.Generator().manual_seed(0)))


@pytest.fixture(scope="module")
def image(faces, latent):
    with torch.no_grad():
        return faces.synthesize(latent)


def test_shapes_and_ranges(faces, latent, image):
    assert latent.shape == (64, *faces.latent_shape)
    assert faces.point(latent).shape == faces.factors(latent).shape == (64, 40)
    assert image.shape == (64, 3, 64, 64)
    assert image.min() >= 0 and image.max() <= 1
    judged = faces.judge(image)
    assert judged.shape == (64, 5, 6)
    assert torch.allclose(judged.sum(2), torch.ones(64, 5), atol=1e-5)
    embedding = faces.embed(image)
    assert embedding.shape == (64, faces.embedding_size)
    assert torch.allclose(embedding.norm(dim=1), torch.ones(64), atol=1e-5)
    degrees = faces.degrees(latent)
    assert degrees.shape == (64, 5) and degrees.min() == 0 and degrees.max() == 5


@pytest.mark.parametrize("size", [64, 128])
def test_both_sizes_are_judged_alike(faces, latent, image, size):
    with torch.no_grad():
        judged = faces.judge(EmbeddedFaces(size).synthesize(latent)).argmax(2)
    assert (judged - faces.degrees(latent).round()).abs().le(1).float().mean() > 0.93


def test_a_face_does_not_depend_on_those_beside_it(faces, latent, image):
    attribute, direction = torch.arange(64) % 5, torch.where(torch.arange(64) % 2 == 0, 1.0, -1.0)
    with torch.no_grad():
        alone = faces.synthesize(latent[7:8])
        assert (alone - image[7:8]).abs().max() < 1e-4
        assert (faces.judge(image)[7] - faces.judge(alone)[0]).abs().max() < 1e-3
        steps = faces.step(latent, attribute, direction)
    assert torch.allclose(steps[7], faces.step(latent[7:8], attribute[7:8], direction[7:8])[0], atol=1e-6)


@pytest.mark.parametrize("base", ["field", "line"])
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_steps_change_what_was_asked(latent, base, sign):
    """From where there is room for it, most faces gain, or lose, the better part of a degree within six steps."""
    faces = EmbeddedFaces(base=base)
    for place in range(len(ATTRIBUTES)):
        start = faces.reach(latent, faces.degrees(latent).index_fill(1, torch.tensor(place), 2.5))
        moved = start
        for _ in range(6):
            step = faces.step(moved, torch.full((64,), place), torch.full((64,), sign))
            moved = faces.move(moved, step)
        change = sign * (faces.degrees(moved) - 2.5)[:, place]
        assert change.median() > 0.5
        assert change.gt(0).float().mean() > 0.8


def test_a_step_back_undoes_a_straight_step(latent):
    faces, attribute = EmbeddedFaces(base="line"), torch.arange(64) % 5
    there = faces.move(latent, faces.step(latent, attribute, torch.ones(64)))
    assert torch.allclose(faces.move(there, faces.step(there, attribute, -torch.ones(64))), latent, atol=1e-6)


def test_the_oracle_keeps_the_person(faces, latent):
    wanted = (faces.degrees(latent) + 2.5) % 5
    reached = faces.reach(latent, wanted)
    assert (faces.degrees(reached) - wanted).abs().max() < 1e-4
    assert (faces.factors(reached) - faces.factors(latent))[:, 5:].abs().max() < 1e-4


def test_one_person_is_known_again(faces, latent, image):
    """With other degrees of the attributes, by both sets of networks."""
    with torch.no_grad():
        later = faces.synthesize(faces.reach(latent, (faces.degrees(latent) + 2) % 5))
        for networks in (faces.networks, load_face_networks("evaluation")):
            alike = networks.embed(image) @ networks.embed(later).T
            assert (alike.diagonal() > alike.roll(1, 1).diagonal()).float().mean() > 0.9


def test_edits_of_pictures_have_gradients(faces, latent):
    moved = latent[:4].clone().requires_grad_()
    picture = faces.synthesize(moved)
    (faces.judge(picture)[:, :, 5].log().sum() + faces.embed(picture).sum()).backward()
    assert moved.grad.abs().sum(1).min() > 0


def test_what_does_not_exist_is_refused(tmp_path):
    with pytest.raises(ValueError, match="a field or a line, got base 'curve'"):
        EmbeddedFaces(base="curve")
    with pytest.raises(ValueError, match="trained at entanglement 0.75, got 0.5: choose base 'line'"):
        EmbeddedFaces(entanglement=0.5)
    with pytest.raises(FileNotFoundError, match="make-weights face-networks"):
        load_face_networks(str(tmp_path / "nowhere.safetensors"))
    (tmp_path / "broken.safetensors").write_bytes(b"no tensors")
    with pytest.raises(ValueError, match="broken.safetensors holds no networks of faces"):
        load_face_networks(str(tmp_path / "broken.safetensors"))
