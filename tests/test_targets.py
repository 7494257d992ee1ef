"""Targets: the embedded world, folders, published datasets."""

import warnings

import numpy as np
import pytest
import torch
from PIL import Image

from retouch.simulators import storage
from retouch.simulators.datasets import hashed_split
from retouch.simulators.images import write_image
from retouch.simulators.scenes import draw_scene
from retouch.simulators.targets import make_targets

SIZE = 32


def first(targets, *index):
    return targets[torch.tensor(index or (0,))]


def picture(red=0, height=20, width=30):
    return np.full((height, width, 3), (red, 10, 20), np.uint8)


# the embedded world


@pytest.mark.parametrize("size", [64, 128, 256])
def test_a_scene_has_exact_shapes_and_types(size):
    scene = first(make_targets("embedded:3", size), 2, 0)
    assert scene.image.shape == (2, 3, size, size) and scene.image.dtype == torch.uint8
    assert scene.mask.shape == scene.focus.shape == (2, 1, size, size)
    assert scene.mask.dtype == scene.focus.dtype == torch.uint8
    assert scene.window.shape == (2, 4) and scene.window.dtype == torch.float32


def test_a_scene_depends_on_its_number_alone():
    forward, backward = make_targets("embedded:6", SIZE), make_targets("embedded:99", SIZE)
    one, other = first(forward, *range(6)), first(backward, *reversed(range(6)))
    for name in ("image", "mask", "focus", "window"):
        assert torch.equal(getattr(one, name), getattr(other, name).flip(0))


def test_seeds_and_splits_share_no_scene():
    worlds = [make_targets("embedded:40", SIZE, split, seed) for split in ("train", "test") for seed in (0, 1)]
    images = torch.cat([world[torch.arange(40)].image.flatten(1) for world in worlds])
    assert len(torch.unique(images, dim=0)) == 160
    names = [name for world in worlds for name in world.names]
    assert len(set(names)) == 160


def test_the_same_composition_at_every_size():
    for index in range(8):
        small, large = draw_scene(64, index), draw_scene(256, index)
        shrunk = np.asarray(Image.fromarray(large.image).resize((64, 64), Image.Resampling.BOX), float)
        assert np.corrcoef(small.image.ravel(), shrunk.ravel())[0, 1] > 0.9
        np.testing.assert_allclose(small.window, large.window, atol=0.05)


def test_masks_are_objects_and_windows_their_boxes():
    scenes = [draw_scene(64, index) for index in range(60)]
    shares = [(scene.mask > 127).mean() for scene in scenes]
    assert 0.08 < np.mean(shares) < 0.4 and min(shares) > 0
    for scene in scenes:
        x, y, w, h = np.round(scene.window * 64).astype(int)
        inside = np.zeros((64, 64), bool)
        inside[y : y + h, x : x + w] = True
        assert not (scene.mask[~inside] > 127).any()
        assert (scene.mask[y, x : x + w] > 127).any() and (scene.mask[y : y + h, x] > 127).any()


def test_the_focus_lies_on_the_object_and_brightest_on_little_of_it():
    scenes = [draw_scene(64, index) for index in range(60)]
    for scene in scenes:
        assert not scene.focus[scene.mask == 0].any()
    bright = [(scene.focus > 127).sum() / (scene.mask > 127).sum() for scene in scenes]
    assert 0.02 < np.mean(bright) < 0.35


def test_the_mask_is_what_was_drawn_over_the_surroundings():
    """Objects look unlike what is around them, on most scenes: a mask beside its object would not."""
    apart = []
    for index in range(40):
        scene = draw_scene(64, index)
        inside, outside = scene.mask > 250, scene.mask == 0
        shifted = np.roll(inside, 32, 1) & outside
        if inside.sum() > 50 and shifted.sum() > 50:
            colour = scene.image[inside].mean(0)
            apart.append(np.abs(colour - scene.image[outside].mean(0)).mean()
                         > np.abs(scene.image[shifted].mean(0) - scene.image[outside].mean(0)).mean())
    assert len(apart) > 20 and np.mean(apart) > 0.7


def test_the_world_is_as_varied_as_photographs():
    scenes = make_targets("embedded:80", 64)[torch.arange(80)].image.float() / 255
    photos = first(make_targets("photos", 64, "test"), *range(5)).image.float() / 255
    assert 0.3 < scenes.mean() < 0.6
    assert 0.6 < scenes.std((2, 3)).mean() / photos.std((2, 3)).mean() < 1.4
    assert scenes.mean((2, 3)).std(0).min() > 0.1  # no two alike
    for images in (scenes, photos):  # amplitude falls as about 1 / frequency
        assert -1.8 < spectral_slope(images.mean(1)) < -1.0


def spectral_slope(grey):
    """Exponent of the mean amplitude spectrum of grey [B, H, W]."""
    window = torch.hann_window(grey.shape[-1])
    amplitude = torch.fft.rfft2((grey - grey.mean((1, 2), keepdim=True)) * window[:, None] * window).abs().mean(0)
    frequency = torch.hypot(torch.fft.fftfreq(grey.shape[-1])[:, None], torch.fft.rfftfreq(grey.shape[-1])[None])
    kept = (frequency > 0.04) & (frequency < 0.4)
    return np.polyfit(frequency[kept].log().numpy(), amplitude[kept].log().numpy(), 1)[0]


def test_a_store_beyond_the_limit_lies_on_disk(monkeypatch):
    wanted = first(make_targets("embedded:4", SIZE), 3, 1)
    monkeypatch.setattr(storage, "DISK_ABOVE", 1000)
    on_disk = first(make_targets("embedded:4", SIZE), 3, 1)
    assert torch.equal(on_disk.image, wanted.image) and torch.equal(on_disk.focus, wanted.focus)


@pytest.mark.gpu
def test_targets_come_on_the_device_asked_for():
    scene = make_targets("embedded:4", SIZE, device="cuda")[torch.tensor([0, 1], device="cuda")]
    assert {scene.image.device.type, scene.mask.device.type, scene.window.device.type} == {"cuda"}


# folders


@pytest.fixture
def tree(tmp_path):
    """Two class folders with ten pictures each."""
    for number in range(20):
        write_image(tmp_path / f"class{number % 2}" / f"{number}.png", picture(number))
    return tmp_path


@pytest.mark.parametrize("prefix", ["", "folder:"])
def test_a_folder_is_read_with_its_class_folders(tree, prefix):
    targets = make_targets(f"{prefix}{tree}", SIZE, "all")
    assert len(targets) == 20 and targets.names[0] == "class0/0.png" and targets.names[-1] == "class1/9.png"
    scene = first(targets, targets.names.index("class1/7.png"))
    assert torch.equal(scene.image[0, :, 5, 5], torch.tensor([7, 10, 20], dtype=torch.uint8))
    assert (scene.mask == 255).all() and (scene.focus == 255).all() and scene.window.tolist() == [[0, 0, 1, 1]]


def test_the_split_of_a_folder_is_a_partition_that_stays(tree):
    parts = {split: set(make_targets(str(tree), SIZE, split).names) for split in ("train", "test")}
    assert not parts["train"] & parts["test"]
    assert parts["train"] | parts["test"] == set(make_targets(str(tree), SIZE, "all").names)
    write_image(tree / "class0" / "another.png", picture())
    assert parts["train"] <= set(make_targets(str(tree), SIZE, "train").names)


def test_a_tenth_of_all_names_is_for_the_test():
    split = [hashed_split(f"image_{number:05}.jpg") for number in range(5000)]
    assert split.count("test") == 480 and hashed_split("a.png") == "train"


def test_one_bad_file_is_reported_and_skipped(tree):
    (tree / "class0" / "broken.png").write_bytes(b"nothing")
    (tree / "class0" / "notes.txt").write_text("no picture, and none is expected")
    with pytest.warns(UserWarning, match="skipped .*broken.png: not an image") as caught:
        targets = make_targets(str(tree), SIZE, "all")
    assert len(caught) == 1 and len(targets) == 20 and "class0/broken.png" not in targets.names
    assert first(targets, 19).image[0, 0, 0, 0] == 9  # the picture after the bad one has its own name


def test_guidance_of_a_folder_is_computed_when_asked_for(tmp_path):
    image = np.full((60, 60, 3), (90, 120, 90), np.uint8)
    image[20:45, 15:40] = (220, 30, 30)
    write_image(tmp_path / "a.png", image)
    scene = first(make_targets(str(tmp_path), 60, "all", guided=True))
    assert (scene.mask[0, 0, 22:43, 17:38] > 127).all() and (scene.mask[0, 0, :15] == 0).all()
    np.testing.assert_allclose(scene.window[0], [15 / 60, 20 / 60, 25 / 60, 25 / 60], atol=0.04)


@pytest.mark.parametrize("name, split, message", [
    ("nowhere/at/all", "train", "expected embedded.*'nowhere/at/all' is no folder"),
    ("embedded:many", "train", "COUNT >= 1"),
    ("embedded:0", "train", "COUNT >= 1"),
    ("embedded", "all", "no split 'all' in the embedded world"),
    ("embedded", "validation", "no split 'validation'"),
    ("photos", "train", "for evaluation: take split='test'"),
])
def test_what_cannot_be_is_refused_with_a_way_out(name, split, message):
    with pytest.raises(ValueError, match=message):
        make_targets(name, SIZE, split)


def test_an_empty_folder_is_refused(tmp_path):
    with pytest.raises(ValueError, match="no readable image in the split 'train'; split='all' takes every image"):
        make_targets(str(tmp_path), SIZE)


def test_photographs():
    targets = make_targets("photos", SIZE, "test")
    assert targets.names[:4] == ["astronaut", "chelsea", "coffee", "rocket"] and len(targets) == 8
    assert targets[torch.arange(8)].image.float().std((1, 2, 3)).min() > 10


# published datasets


@pytest.fixture
def birds(tmp_path):
    """CUB-200-2011 with three pictures, the second of them for the test."""
    names = ["001.Gull/Gull_1.jpg", "001.Gull/Gull_2.jpg", "002.Wren/Wren_1.jpg"]
    for number, name in enumerate(names):
        write_image(tmp_path / "images" / name, picture(60 * number))
    (tmp_path / "images.txt").write_text("".join(f"{k + 1} {name}\n" for k, name in enumerate(names)))
    (tmp_path / "train_test_split.txt").write_text("1 1\n2 0\n3 1\n")
    (tmp_path / "bounding_boxes.txt").write_text("1 3.0 5.0 15.0 10.0\n2 0.0 0.0 30.0 20.0\n3 6.0 2.0 60.0 4.0\n")
    return tmp_path


def test_cub_has_its_own_split_and_boxes(birds):
    train, test = (make_targets(f"cub:{birds}", SIZE, split) for split in ("train", "test"))
    assert train.names == ["001.Gull/Gull_1.jpg", "002.Wren/Wren_1.jpg"] and test.names == ["001.Gull/Gull_2.jpg"]
    torch.testing.assert_close(first(train, 0).window, torch.tensor([[0.1, 0.25, 0.5, 0.5]]))
    torch.testing.assert_close(first(train, 1).window, torch.tensor([[0.2, 0.1, 0.8, 0.2]]))  # cut to the picture
    assert (first(train, 0).mask == 255).all()


def test_cub_reads_the_published_maps(birds):
    half = np.zeros((20, 30), np.uint8)
    half[:, 15:] = 255
    write_image(birds / "segmentations_pred" / "001.Gull" / "Gull_1.jpg", half)
    write_image(birds / "gbp_global" / "001.Gull" / "Gull_1.jpg", half[:, ::-1])
    write_image(birds / "segmentations" / "002.Wren" / "Wren_1.png", half)
    (birds / "bounding_boxes_pred.txt").write_text(" x y w h\n0 15 0 15 20\n1 0 0 30 10\n2 0 0 0 0\n")
    scene = first(make_targets(f"cub:{birds}", SIZE, "all"), 0, 1, 2)
    assert (scene.mask[0, 0, :, 20:] > 250).all() and (scene.mask[0, 0, :, :12] < 5).all()
    assert (scene.focus[0, 0, :, :12] > 250).all() and (scene.focus[0, 0, :, 20:] < 5).all()
    assert (scene.mask[2, 0, :, 20:] == 255).all() and (scene.mask[2, 0, :, :12] == 0).all()
    torch.testing.assert_close(scene.window, torch.tensor([[0.5, 0, 0.5, 1], [0, 0, 1, 0.5], [0.2, 0.1, 0.8, 0.2]]))


def test_cub_says_what_is_missing(birds):
    (birds / "train_test_split.txt").write_text("1 1\n3 1\n")
    with pytest.raises(ValueError, match="lacks image 2"):
        make_targets(f"cub:{birds}", SIZE)
    (birds / "train_test_split.txt").unlink()
    with pytest.raises(FileNotFoundError, match="train_test_split.txt: not found: expected CUB-200-2011"):
        make_targets(f"cub:{birds}", SIZE)


def test_stanford_cars(tmp_path):
    scipy_io = pytest.importorskip("scipy.io")
    fields = [("bbox_x1", "O"), ("bbox_y1", "O"), ("bbox_x2", "O"), ("bbox_y2", "O"), ("class", "O"), ("fname", "O")]
    rows = np.array([(4, 6, 18, 15, 1, "00001.jpg"), (1, 1, 30, 20, 2, "00002.jpg")], dtype=fields)
    (tmp_path / "devkit").mkdir()
    scipy_io.savemat(tmp_path / "devkit" / "cars_train_annos.mat", {"annotations": rows})
    scipy_io.savemat(tmp_path / "devkit" / "cars_test_annos.mat", {"annotations": rows[:1]})
    for name in ("cars_train/00001.jpg", "cars_train/00002.jpg", "cars_test/00001.jpg"):
        write_image(tmp_path / name, picture())
    train, test = (make_targets(f"cars:{tmp_path}", 40, split) for split in ("train", "test"))
    assert train.names == ["cars_train/00001.jpg", "cars_train/00002.jpg"] and test.names == ["cars_test/00001.jpg"]
    scene = first(train, 0, 1)
    torch.testing.assert_close(scene.window, torch.tensor([[0.1, 0.25, 0.5, 0.5], [0, 0, 1, 1]]))
    assert scene.mask[0, 0, 10:30, 4:24].eq(255).all() and scene.mask[0].sum() == 20 * 20 * 255


def test_stanford_cars_without_its_devkit(tmp_path):
    with pytest.raises(FileNotFoundError, match="cars_train_annos.mat: not found: expected Stanford Cars"):
        make_targets(f"cars:{tmp_path}", SIZE)


def test_a_good_folder_raises_no_warning(tree):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(make_targets(str(tree), SIZE, "all")) == 20
