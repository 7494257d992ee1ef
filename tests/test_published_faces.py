"""The published files' layout, and a world of faces from a folder of them, tiny and untrained."""

import argparse
import json
import pickle
import shutil
import zipfile

import numpy as np
import pytest
import torch

from retouch.simulators.arcface import ArcFace
from retouch.simulators.attribute_predictor import AttributePredictor
from retouch.simulators.published_faces import PublishedFaces, load_discriminator, load_predictor
from retouch.simulators.published_weights import read_checkpoint
from retouch.simulators.semantic_field import FieldFunction, field_edit
from retouch.simulators.stylegan2 import Discriminator, Generator

NAMES = ["Bangs", "Eyeglasses", "No_Beard", "Smiling", "Young"]
HEADS = ["06Bangs", "16Eyeglasses", "25No_Beard", "32Smiling", "40Young"]


def normalised(name, channels):
    kinds = {"weight": (channels,), "bias": (channels,), "running_mean": (channels,), "running_var": (channels,)}
    return {f"{name}.{kind}": shape for kind, shape in kinds.items()} | {f"{name}.num_batches_tracked": ()}


def linear(name, wide, wider):
    return {f"{name}.weight": (wider, wide), f"{name}.bias": (wider,)}


def shapes(module):
    return {name: tuple(value.shape) for name, value in module.state_dict().items()}


def published_predictor():
    expected = {"conv1.weight": (64, 3, 7, 7)} | normalised("bn1", 64)
    wide = 64
    for stage, (width, blocks) in enumerate([(64, 3), (128, 4), (256, 6), (512, 3)], 1):
        for block in range(blocks):
            name = f"layer{stage}.{block}"
            expected |= {f"{name}.conv1.weight": (width, wide, 1, 1), f"{name}.conv2.weight": (width, width, 3, 3)}
            expected |= {f"{name}.conv3.weight": (4 * width, width, 1, 1)} | normalised(f"{name}.bn1", width)
            expected |= normalised(f"{name}.bn2", width) | normalised(f"{name}.bn3", 4 * width)
            if not block:
                expected |= {f"{name}.downsample.0.weight": (4 * width, wide, 1, 1)}
                expected |= normalised(f"{name}.downsample.1", 4 * width)
            wide = 4 * width
    expected |= linear("stem.fc", 2048, 512) | normalised("stem.bn", 512)
    for head in HEADS:
        name = f"classifier{head}"
        expected |= linear(f"{name}.0.fc", 512, 256) | normalised(f"{name}.0.bn", 256) | linear(f"{name}.1", 256, 6)
    return expected


def published_arcface():
    expected = {"conv1.weight": (64, 1, 3, 3), "prelu.weight": (1,)} | normalised("bn1", 64)
    wide = 64
    for stage, width in enumerate([64, 128, 256, 512], 1):
        for block in range(2):
            name = f"layer{stage}.{block}"
            expected |= {f"{name}.conv1.weight": (wide, wide, 3, 3), f"{name}.conv2.weight": (width, wide, 3, 3)}
            expected |= normalised(f"{name}.bn0", wide) | normalised(f"{name}.bn1", wide)
            expected |= normalised(f"{name}.bn2", width) | {f"{name}.prelu.weight": (1,)}
            if width != wide:
                expected |= {f"{name}.downsample.0.weight": (width, wide, 1, 1)}
                expected |= normalised(f"{name}.downsample.1", width)
            wide = width
    return expected | normalised("bn4", 512) | linear("fc5", 32768, 512) | normalised("bn5", 512)


@pytest.mark.parametrize(
    "network, layout, parameters",
    [(AttributePredictor, published_predictor, 25_225_054), (ArcFace, published_arcface, 25_627_081)],
)
def test_networks_have_the_published_layout(network, layout, parameters):
    with torch.device("meta"):
        built = network()
    assert shapes(built) == layout()
    assert sum(value.numel() for value in built.parameters()) == parameters


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The published files of a world of 8 px, with what a training run saved beside its weights."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("pretrained_models")
    (folder / "8_field").mkdir()
    run = {"args": argparse.Namespace(size=8, lr=0.002), "g_ema": Generator(8).state_dict()}
    torch.save(run | {"d": Discriminator(8).state_dict()}, folder / "stylegan2_8.pt")
    predictor = {"state_dict": AttributePredictor().state_dict(), "best_acc": np.float64(0.5), "epoch": 3}
    torch.save(predictor, folder / "predictor_8.pth.tar")
    identity = {f"module.{name}": value for name, value in ArcFace().state_dict().items()}
    torch.save(identity, folder / "arcface_resnet18_110.pth")
    for name in NAMES:
        torch.save(FieldFunction().state_dict(), folder / "8_field" / f"{name}.pth")
    yield folder
    shutil.rmtree(folder)  # 300 MB


@pytest.fixture(scope="module")
def world(folder):
    return PublishedFaces(folder, 8)


@pytest.fixture(scope="module")
def plus(folder):
    return PublishedFaces(folder, 8, plus=True, editable=3)


@pytest.fixture
def noise():
    return torch.randn(4, 512, generator=torch.Generator().manual_seed(1))


def test_a_world_from_the_published_folder(world, noise):
    latent = world.sample(noise)
    image = world.synthesize(latent)
    assert (world.latent_shape, latent.shape, image.shape) == ((512,), (4, 512), (4, 3, 8, 8))
    assert 0 <= image.min() < image.max() <= 1
    probability = world.judge(image)
    assert probability.shape == (4, 5, 6)
    torch.testing.assert_close(probability.sum(2), torch.ones(4, 5))
    assert world.embed(image).shape == (4, world.embedding_size)
    torch.testing.assert_close(world.embed(image).norm(dim=1), torch.ones(4))
    assert not any(value.requires_grad for value in world.generator.parameters())


def test_a_step_goes_along_the_field_of_each_lane(world, folder, noise):
    latent = world.sample(noise)
    attribute, direction = torch.tensor([0, 4, 2, 2]), torch.tensor([1.0, 1.0, 1.0, -1.0])
    step = world.step(latent, attribute, direction)
    for lane in range(4):
        field = FieldFunction()
        name = NAMES[attribute[lane]]
        field.load_state_dict(torch.load(folder / "8_field" / f"{name}.pth", weights_only=True))
        mapping = world.generator.mapping
        moved = mapping(field(latent[lane : lane + 1])) - mapping(torch.zeros(1, 512))
        torch.testing.assert_close(step[lane], (direction[lane] * moved[0]).detach(), atol=1e-6, rtol=1e-4)


def test_edits_of_w_plus_touch_the_editable_layers_alone(plus, noise):
    latent = plus.sample(noise)
    assert plus.latent_shape == latent.shape[1:] == (4, 512)
    edit = torch.randn(4, 512)
    moved = plus.move(latent, edit) - latent
    torch.testing.assert_close(moved[:, :3], edit[:, None].expand(-1, 3, -1))
    assert not moved[:, 3].any()
    assert torch.equal(plus.point(latent), latent[:, 0])


@pytest.mark.parametrize("resolution, layers", [(128, 8), (1024, 10)])
def test_the_published_layers_are_editable(monkeypatch, tmp_path, resolution, layers):
    module = "retouch.simulators.published_faces"
    monkeypatch.setattr(f"{module}.load_published", lambda network, path, part="": network)
    monkeypatch.setattr("pathlib.Path.is_file", lambda path: not path.name.startswith("attributes"))
    with torch.device("meta"):
        world = PublishedFaces(tmp_path, resolution, plus=True, device="meta")
    assert world.editable == layers
    assert world.latent_shape == ({128: 12, 1024: 18}[resolution], 512)


def test_rounds_of_the_published_loop_run(plus, noise):
    def judge(latent):
        confidence, labels = plus.judge(plus.synthesize(latent)).max(2)
        return labels, confidence

    latent = plus.sample(noise)
    labels, _ = judge(latent)
    attribute = torch.tensor([0, 1, 2, -1])
    target = (labels[torch.arange(4), attribute] + 1) % 6
    target[0] = labels[0, 0]
    result = field_edit(plus, latent, attribute, target, judge, trials=2)
    assert result.already_there.tolist() == [True, False, False, False]
    assert not result.edit[[0, 3]].any()
    assert result.cannot[[0, 3]].tolist() == [False, False]


def test_a_checkpoint_that_an_older_numpy_saved_into(tmp_path):
    torch.save({"best_acc": np.float64(0.5), "args": argparse.Namespace(lr=1)}, tmp_path / "new.pth.tar")
    with zipfile.ZipFile(tmp_path / "new.pth.tar") as new, zipfile.ZipFile(tmp_path / "old.pth.tar", "w") as old:
        for name in new.namelist():
            old.writestr(name, new.read(name).replace(b"numpy._core.multiarray", b"numpy.core.multiarray"))
    assert read_checkpoint(tmp_path / "old.pth.tar") == {"best_acc": 0.5, "args": argparse.Namespace(lr=1)}


def test_the_discriminator_and_the_predictor_of_evaluations(folder):
    assert load_discriminator(folder / "stylegan2_8.pt", 8)(torch.zeros(2, 3, 8, 8)).shape == (2, 1)
    assert load_predictor(folder / "predictor_8.pth.tar")(torch.zeros(2, 3, 8, 8)).shape == (2, 5, 6)


def test_probabilities_stay_finite(world):
    last = world.predictor.get_submodule("classifier06Bangs")[1]
    before = last.bias.clone()
    last.bias[2] += 1000
    probability = world.judge(torch.rand(2, 3, 8, 8))[:, 0]
    last.bias.copy_(before)
    assert probability.tolist() == [[0, 0, 1, 0, 0, 0]] * 2


def test_a_generator_of_ones_own(world, noise):
    mine = world.with_own_generator()
    latent = world.sample(noise)
    before = world.synthesize(latent)
    mine.generator.to_rgb1.bias.add_(1)
    assert not torch.equal(mine.synthesize(latent), before)
    assert torch.equal(world.synthesize(latent), before)
    assert mine.predictor is world.predictor


def test_what_is_clipped_keeps_its_gradient(world, noise):
    mine = world.with_own_generator()
    mine.generator.to_rgb1.bias.add_(1000)
    latent = mine.sample(noise).requires_grad_()
    image = mine.synthesize(latent)
    assert image.min() == image.max() == 1
    image.sum().backward()
    assert latent.grad.abs().sum() > 0


def test_missing_files_are_all_named(tmp_path):
    (tmp_path / "128_field").mkdir()
    (tmp_path / "128_field" / "Bangs.pth").touch()
    with pytest.raises(FileNotFoundError) as error:
        PublishedFaces(tmp_path)
    files = "stylegan2_128.pt, predictor_128.pth.tar, arcface_resnet18_110.pth, " + ", ".join(
        f"128_field/{name}.pth" for name in NAMES[1:]
    )
    assert f"{tmp_path} lacks {files}: put them there from the Google Drive" in str(error.value)
    with pytest.raises(FileNotFoundError, match="lacks stylegan2_1024.pth, predictor_1024.pth.tar"):
        PublishedFaces(tmp_path, 1024)


class Stranger:
    def __reduce__(self):
        return print, ("code of the file was run",)


def test_a_pickled_stranger_is_refused(tmp_path, capsys):
    path = tmp_path / "predictor_128.pth.tar"
    torch.save({"state_dict": {"conv1.weight": Stranger()}}, path)
    with pytest.raises(ValueError, match="predictor_128.pth.tar cannot be read as weights alone"):
        load_predictor(path)
    path.write_bytes(pickle.dumps(Stranger(), protocol=2))
    with pytest.raises(ValueError, match="cannot be read as weights alone"):
        load_predictor(path)
    path.write_bytes(b"<html>Google Drive: too many downloads</html>")
    with pytest.raises(ValueError, match="cannot be read as weights alone"):
        load_predictor(path)
    assert capsys.readouterr().out == ""


def test_a_wrong_file_is_told_by_what_it_lacks(folder, tmp_path):
    with pytest.raises(ValueError, match=r"Bangs.pth is no AttributePredictor .*: it lacks conv1.weight; .* more"):
        load_predictor(folder / "8_field" / "Bangs.pth")
    with pytest.raises(ValueError, match=r"is no Discriminator .*it lacks convs.2.conv1.0.weight"):
        load_discriminator(folder / "stylegan2_8.pt", 16)
    torch.save(torch.zeros(3), tmp_path / "zeros.pt")
    with pytest.raises(ValueError, match="expected a state dict, under 'state_dict' or flat"):
        load_predictor(tmp_path / "zeros.pt")


def test_a_predictor_of_other_attributes(folder, tmp_path):
    entries = {str(number): {"name": f"Own{number}", "value": list(range(6))} for number in range(5)}
    (tmp_path / "attributes_5.json").write_text(json.dumps({"attr_info": entries}))
    with pytest.raises(FileNotFoundError, match="8_field/Own0.pth, .*, 8_field/Own4.pth: put"):
        PublishedFaces(tmp_path, 8)
    entries["4"]["value"] = [0, 1]
    (tmp_path / "attributes_5.json").write_text(json.dumps({"attr_info": entries}))
    with pytest.raises(ValueError, match=r"of 6 degrees each, got 5 of \[2, 6\]"):
        PublishedFaces(tmp_path, 8)
    (tmp_path / "attributes_5.json").write_text("[]")
    with pytest.raises(ValueError, match="attributes_5.json: expected a table like"):
        PublishedFaces(tmp_path, 8)


def test_latents_of_real_pictures(world, plus, tmp_path):
    path = tmp_path / "latents.pt"
    with pytest.raises(FileNotFoundError, match="no latents at"):
        plus.read_latents(path)
    latent = torch.randn(3, 4, 512)
    torch.save(latent, path)
    assert torch.equal(plus.read_latents(path), latent)
    with pytest.raises(ValueError, match=r"8 px in W \(plus=False\) are \(N, \*\(512,\)\), got \(3, 4, 512\)"):
        world.read_latents(path)
    torch.save(latent[0], path)
    assert torch.equal(plus.read_latents(path), latent[:1])
    torch.save({"latents": latent}, path)
    with pytest.raises(ValueError, match="got dict"):
        plus.read_latents(path)
