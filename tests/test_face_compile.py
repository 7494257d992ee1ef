"""Faces drawn and walked by torch.compile. What is compiled here is traced only: to write the C++ takes a minute."""

import copy
import functools
import pickle

import gymnasium as gym
import pytest
import torch

from retouch import backends
from retouch.benchmarks.recipes import environment
from retouch.envs.face_dialog import FaceDialog
from retouch.simulators.face_world import EmbeddedFaces
from retouch.simulators.face_worlds import make_faces


@pytest.fixture
def traced(monkeypatch):
    """The names of what was compiled for the faces, once for each time."""
    names = []

    def plainly(function):
        def backend(graph, inputs):
            names.append(function.__name__)
            return graph.forward

        return torch.compile(function, dynamic=True, backend=backend)

    monkeypatch.setattr(backends, "compiled", functools.cache(plainly))
    return names


@pytest.mark.slow
def test_all_worlds_and_batches_share_one_compilation_and_draw_as_plain_ones(traced):
    plain, world = EmbeddedFaces(32), EmbeddedFaces(32, compile=True)
    latent = torch.randn(40, 40, generator=torch.Generator().manual_seed(0))
    worlds = [world, EmbeddedFaces(32, compile=True), copy.deepcopy(world), pickle.loads(pickle.dumps(world))]
    for number, one in enumerate([*worlds, *[EmbeddedFaces(32, compile=True) for _ in range(6)]]):
        for lanes in (32, 1, 2, 40) if number < len(worlds) else (1, 3):
            picture = one.synthesize(latent[:lanes])
            assert picture.shape == (lanes, 3, 32, 32)
            torch.testing.assert_close(picture, plain.synthesize(latent[:lanes]), atol=1e-5, rtol=0)
    assert traced == ["portrait"]

    wished = latent[:2].clone().requires_grad_()
    world.synthesize(wished).sum().backward()
    assert wished.grad.any(1).all()
    with torch.no_grad():
        world.synthesize(wished)
    assert traced == ["portrait"]


def test_all_worlds_batches_and_fields_share_one_compilation_and_walk_as_plain_ones(traced):
    plain, worlds = EmbeddedFaces(32), [EmbeddedFaces(32, compile=True) for _ in range(3)]
    latent = torch.randn(32, 40, generator=torch.Generator().manual_seed(0))
    attribute, direction = torch.arange(32) % 5, torch.ones(32)
    edit = torch.zeros_like(latent)
    for world in worlds:
        for lanes in (32, 1, 7, 3):
            torch.testing.assert_close(world.factors(latent[:lanes]), plain.factors(latent[:lanes]))
            walk = [part[:lanes] for part in (latent, edit, attribute, direction)]
            torch.testing.assert_close(world.steps(*walk, 3), plain.steps(*walk, 3))
    assert sorted(traced) == ["factors", "field_steps", "field_steps"]  # of one attribute alone, and of several


def test_a_missing_compiler_is_named(monkeypatch):
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(ValueError, match="compile=True needs a C.. compiler, and there is no no-such-compiler"):
        FaceDialog(compile=True)
    assert not FaceDialog(size=16).world.compile


def test_published_faces_are_not_compiled(tmp_path):
    with pytest.raises(ValueError, match="compile=True is for the embedded world, not for the faces in"):
        make_faces(str(tmp_path), compile=True)


def test_it_is_an_option_of_the_task():
    assert environment("FaceDialog-v0", {"compile": "true"})["compile"] is True
    task = gym.make("retouch:FaceDialog-v0", size=16, compile=True).unwrapped.task
    assert task.world.compile and not FaceDialog(size=16).world.compile
