"""Masks and focus maps computed here, and the preprocessing of CUB."""

import numpy as np
import pytest
import torch
from torch import nn

from retouch import backends
from retouch.benchmarks.prepare_cub import prepare_cub
from retouch.simulators.detectors import load_network, make_detector, torchvision_detector
from retouch.simulators.images import read_image, write_image
from retouch.simulators.saliency import contrast_focus, gradient_focus, guided_backprop, object_mask
from retouch.simulators.scenes import draw_scene
from retouch.simulators.targets import make_targets


def disc(height=60, width=80, centre=(30, 45), radius=15):
    rows, columns = np.ogrid[:height, :width]
    return (rows - centre[0]) ** 2 + (columns - centre[1]) ** 2 < radius**2


def red_disc(**where):
    inside = disc(**where)
    noise = np.random.default_rng(0).integers(-8, 9, (*inside.shape, 3))
    return np.clip(np.where(inside[..., None], (200, 40, 40), (90, 110, 90)) + noise, 0, 255).astype(np.uint8), inside


def overlap(mask, truth):
    found = mask > 127
    return (found & truth).sum() / (found | truth).sum()


def test_the_object_is_found():
    image, truth = red_disc()
    assert overlap(object_mask(image), truth) > 0.9


def test_the_mask_is_the_same_each_time_and_better_than_the_middle_on_scenes():
    scenes = [draw_scene(64, index) for index in range(24)]
    masks = [object_mask(scene.image) for scene in scenes]
    np.testing.assert_array_equal(masks, [object_mask(scene.image) for scene in scenes])
    middle = 255 * disc(64, 64, (32, 32), 20).astype(np.uint8)
    found, guessed = (np.mean([overlap(mask, scene.mask > 127) for mask, scene in zip(tries, scenes, strict=True)])
                      for tries in (masks, [middle] * 24))
    assert found > guessed + 0.15


def test_a_picture_of_nothing_has_a_mask_in_the_middle():
    mask = object_mask(np.full((40, 60, 3), 77, np.uint8))
    assert mask[20, 30] == 255 and mask[0, 0] == 0


def test_the_focus_is_on_detail():
    image, truth = red_disc()
    mask = 255 * truth.astype(np.uint8)
    image[truth] = (200, 40, 40)
    image[28:32:2, 43:48] = 255
    focus = contrast_focus(image, mask)
    assert focus[28:31, 43:48].max() > 200 and focus[20, 45] < 30 and not focus[~truth].any()


def linear(weight):
    layer = nn.Linear(len(weight[0]), len(weight), bias=False)
    layer.weight.data = torch.tensor(weight)
    return layer


@pytest.mark.parametrize("inplace", [False, True])
def test_guided_backprop_by_hand(inplace):
    """Two pixels of three channels into three hidden units.

    x = (1, 2 | 3, 1 | 0, 1) (channel by channel); hidden sums: h = (x0 + x1, x2 - x3, -x0), relu -> (3, 2, 0).
    Logits: (2 h0 - h1 + 5 h2, h0). Of logit 0 the gradient at relu is (2, -1, 5): the second is negative and
    the third unit is off, so 2 (x0 + x1) is all that passes. The plain gradient would also have x2, x3.
    """
    hidden = linear([[1.0, 1, 0, 0, 0, 0], [0, 0, 1, -1, 0, 0], [-1, 0, 0, 0, 0, 0]])
    model = nn.Sequential(nn.Flatten(), hidden, nn.ReLU(inplace), linear([[2.0, -1, 5], [1, 0, 0]])).train()
    image = torch.tensor([1.0, 2, 3, 1, 0, 1]).view(1, 3, 1, 2).repeat(2, 1, 1, 1)
    focus = guided_backprop(model, image, torch.tensor([0, 1]))
    torch.testing.assert_close(focus, torch.tensor([[2.0, 2.0], [1.0, 1.0]]).view(2, 1, 1, 2))
    torch.testing.assert_close(guided_backprop(model, image), focus[:1].repeat(2, 1, 1, 1))  # 4 > 3: logit 0
    assert model.training and hidden.weight.grad is None
    seen = image[:1].clone().requires_grad_()
    model(seen)[0, 0].backward()
    torch.testing.assert_close(seen.grad.flatten(), torch.tensor([2.0, 2, -1, 1, 0, 0]))  # the model is as it was


def test_a_focus_map_from_a_classifier_is_on_the_object():
    torch.manual_seed(0)
    classifier = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))
    image, truth = red_disc()
    focus = gradient_focus(classifier, size=32)(image, 255 * truth.astype(np.uint8))
    assert focus.shape == (60, 80) and focus.max() > 200 and not focus[~truth].any()


class TwoObjects(nn.Module):
    """Answers as Mask R-CNN does: the best detection first."""

    def forward(self, images):
        height, width = images[0].shape[1:]
        masks = torch.zeros(2, 1, height, width)
        masks[0, 0, 2:5, 3:9], masks[1] = 0.8, 1.0
        return [{"masks": masks if images[0].max() > 0 else masks[:0]}]


def test_a_detector_takes_the_best_object_or_says_that_there_is_none():
    detect = torchvision_detector(TwoObjects())
    mask = detect(np.full((10, 12, 3), 9, np.uint8))
    assert mask.shape == (10, 12) and mask[3, 5] == 204 and mask.sum() == 18 * 204
    assert detect(np.zeros((10, 12, 3), np.uint8)) is None


@pytest.mark.slow
def test_a_segmentation_network_from_a_file_of_weights(tmp_path):
    models = backends.torchvision().models
    model = models.get_model("lraspp_mobilenet_v3_large", weights=None, weights_backbone=None, num_classes=2)
    with torch.no_grad():
        model.classifier.low_classifier.bias += torch.tensor([-99.0, 99.0])
    torch.save(model.state_dict(), tmp_path / "birds.pt")
    detect = make_detector(str(tmp_path / "birds.pt"), "lraspp_mobilenet_v3_large")
    assert (detect(np.zeros((40, 50, 3), np.uint8)) == 255).all()


@pytest.mark.slow
def test_mask_rcnn_runs_wherever_torch_does():
    models = backends.torchvision().models
    torch.manual_seed(0)
    model = models.get_model("maskrcnn_resnet50_fpn", weights=None, weights_backbone=None, num_classes=2, min_size=64,
                             rpn_post_nms_top_n_test=4, box_detections_per_img=1)
    with torch.no_grad():
        model.roi_heads.box_predictor.cls_score.bias += torch.tensor([-9.0, 9.0])
        model.roi_heads.mask_predictor.mask_fcn_logits.bias += 9
    mask = torchvision_detector(model)(red_disc()[0])
    assert mask.shape == (60, 80) and mask.max() > 250


def test_weights_that_are_missing_or_foreign_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="gone.pt: there is no such file of weights"):
        load_network("resnet18", str(tmp_path / "gone.pt"))
    torch.save({"weight": torch.zeros(1)}, tmp_path / "odd.pt")
    with pytest.raises(ValueError, match="odd.pt.*is it a state dict of resnet18"):
        load_network("resnet18", str(tmp_path / "odd.pt"))


@pytest.fixture
def birds(tmp_path):
    """CUB-200-2011 with four pictures; the object of the first is at rows 15 to 44, columns 30 to 59."""
    names = [f"001.Gull/Gull_{number}.jpg" for number in range(4)]
    for name in names:
        write_image(tmp_path / "images" / name, red_disc()[0])
    (tmp_path / "images.txt").write_text("".join(f"{k + 1} {name}\n" for k, name in enumerate(names)))
    (tmp_path / "train_test_split.txt").write_text("".join(f"{k + 1} 1\n" for k in range(4)))
    (tmp_path / "bounding_boxes.txt").write_text("".join(f"{k + 1} 0.0 0.0 8.0 8.0\n" for k in range(4)))
    return tmp_path


def test_prepared_maps_are_what_the_targets_read(birds):
    seen = []
    report = prepare_cub(birds, progress=lambda done, total: seen.append((done, total)))
    assert (report.prepared, report.kept, report.undetected, report.unreadable) == (4, 0, [], [])
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]
    header, *rows = (birds / "bounding_boxes_pred.txt").read_text().splitlines()
    assert header == " x y w h" and [row.split()[0] for row in rows] == ["0", "1", "2", "3"]
    assert sorted(path.name for path in birds.iterdir() if path.suffix == ".partial" or path.name[0] == ".") == []
    scene = make_targets(f"cub:{birds}", 64)[torch.tensor([0])]
    box = torch.tensor([31 / 80, 16 / 60, 29 / 80, 29 / 60])
    torch.testing.assert_close(scene.window[0], box, atol=0.05, rtol=0)
    assert scene.mask[0, 0, 32, 36] > 250 and scene.mask[0, 0, 2, 2] < 5 and scene.focus.max() > 100


def test_preparing_goes_on_where_it_was_stopped(birds):
    calls = []

    def detector(image):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return object_mask(image)

    with pytest.raises(KeyboardInterrupt):
        prepare_cub(birds, detector)
    assert not (birds / "bounding_boxes_pred.txt").exists()
    with open(birds / "bounding_boxes_pred.partial", "a") as torn:
        torn.write("2 3 4 5 6")  # killed within a line
    assert prepare_cub(birds, detector).kept == 2 and len(calls) == 5
    assert prepare_cub(birds, detector).kept == 4 and len(calls) == 5
    (birds / "gbp_global" / "001.Gull" / "Gull_1.jpg").unlink()
    assert prepare_cub(birds, detector).kept == 3 and len(calls) == 6


def test_no_detection_and_no_image_are_reported_not_fatal(birds):
    (birds / "images" / "001.Gull" / "Gull_1.jpg").write_bytes(b"torn")
    report = prepare_cub(birds, lambda image: None)
    assert report.undetected == [f"001.Gull/Gull_{k}.jpg" for k in (0, 2, 3)]
    assert len(report.unreadable) == 1 and "Gull_1.jpg: not an image" in report.unreadable[0]
    assert (birds / "bounding_boxes_pred.txt").read_text().splitlines()[2] == "1 0 0 0 0"
    assert overlap(read_image(birds / "segmentations_pred" / "001.Gull" / "Gull_0.jpg")[..., 0], disc()) > 0.85
    with pytest.warns(UserWarning, match="Gull_1.jpg"):
        assert len(make_targets(f"cub:{birds}", 32)) == 3


def test_a_classifier_draws_the_focus(birds):
    torch.manual_seed(0)
    classifier = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))
    prepare_cub(birds, lambda image: 255 * disc().astype(np.uint8), classifier)
    focus = read_image(birds / "gbp_global" / "001.Gull" / "Gull_0.jpg")[..., 0]
    assert focus[:10].max() < 30 and focus[disc()].max() > 150
