"""Object masks from torchvision's networks, where the user has weights."""
from __future__ import annotations

from inspect import signature
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from .. import backends
from .saliency import Bytes, Detector, object_mask

DEFAULT_NETWORK = "maskrcnn_resnet50_fpn"
# only the best object is wanted
_BEST_OF_FEW: dict[str, int | None] = {"rpn_post_nms_top_n_test": 200, "box_detections_per_img": 1}
# where the number of classes shows: Mask R-CNN, DeepLab and FCN, LR-ASPP, ResNet, VGG
_CLASS_BIASES = ("roi_heads.box_predictor.cls_score.bias", "classifier.4.bias", "classifier.low_classifier.bias",
                 "fc.bias", "classifier.6.bias")


def make_detector(name: str = "cv2", network: str = DEFAULT_NETWORK, device: torch.device | str = "cpu") -> Detector:
    """A detector: `cv2` (no weights), a file of weights for torchvision's `network`, or the name of weights that
    torchvision downloads (`DEFAULT`, `COCO_V1` ...)."""
    if name == "cv2":
        return object_mask
    return torchvision_detector(load_network(network, name), device)


def load_network(network: str, weights: str) -> nn.Module:
    """torchvision's `network` with `weights`: a state dict on disk (.safetensors or torch.save), else a name.

    The number of classes is read from the file, so fine-tuned heads load (the published one knows two).
    """
    models = backends.torchvision().models
    options: dict[str, int | None] = _BEST_OF_FEW if network.startswith("maskrcnn") else {}
    if not Path(weights).suffix:
        return models.get_model(network, weights=weights, **options)
    state = load_state(weights)
    classes = next((len(state[key]) for key in _CLASS_BIASES if key in state), None)
    if classes is None:
        raise ValueError(f"{weights}: holds none of {list(_CLASS_BIASES)}: is it a state dict of {network}?")
    if "weights_backbone" in signature(models.get_model_builder(network)).parameters:
        options = options | {"weights_backbone": None}
    model = models.get_model(network, weights=None, num_classes=classes, **options)
    model.load_state_dict(state)
    return model


def load_state(path: str | Path) -> dict[str, Tensor]:
    """A state dict from a .safetensors file or from one that torch.save wrote; no code in it is run."""
    if not Path(path).is_file():
        raise FileNotFoundError(f"{path}: there is no such file of weights")
    if Path(path).suffix == ".safetensors":
        from safetensors.torch import load_file

        return load_file(path)
    return torch.load(path, map_location="cpu", weights_only=True)


def torchvision_detector(model: nn.Module, device: torch.device | str = "cpu") -> Detector:
    """The best object of an instance segmentation network (Mask R-CNN), or all that is not background for a
    semantic one (DeepLab, FCN). None where nothing is found."""
    model = model.to(device).eval()

    @torch.no_grad()
    def detect(image: Bytes) -> Bytes | None:
        pixels = torch.from_numpy(np.ascontiguousarray(image)).to(device).permute(2, 0, 1).float() / 255
        mask = _semantic(model, pixels) if hasattr(model, "classifier") else _instance(model, pixels)
        if mask is None or mask.max() <= 0.5:
            return None
        return mask.mul(255).round().byte().cpu().numpy()

    return detect


def _instance(model: nn.Module, pixels: Tensor) -> Tensor | None:
    # without its compiled part torchvision would have torch.compile write roi_align, which takes minutes
    with torch.compiler.set_stance("force_eager"):
        masks = model([pixels])[0]["masks"]  # [N, 1, H, W], best first
    return masks[0, 0] if len(masks) else None


def _semantic(model: nn.Module, pixels: Tensor) -> Tensor:
    mean = pixels.new_tensor([0.485, 0.456, 0.406]).view(3, 1, 1)
    deviation = pixels.new_tensor([0.229, 0.224, 0.225]).view(3, 1, 1)
    return 1 - model(((pixels - mean) / deviation)[None])["out"].softmax(1)[0, 0]
