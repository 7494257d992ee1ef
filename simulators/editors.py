"""Editors by name: the shipped one, one that `retouch make-weights editor` left, a pipeline of the hub or a folder."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from .. import backends
from .codec import PixelCodec, SafetyChecker, VAECodec
from .edit_language import LENGTH, WORDS, tokens
from .edit_scenes import SIZE
from .editor import Editor
from .files import whole

SHIPPED = {
    "shipped": Path(__file__).parent / "weights" / "editor.safetensors",
    "half-trained": Path(__file__).parent / "weights" / "editor-half.safetensors",
}
PIPELINE = "StableDiffusionInstructPix2PixPipeline"
WIDTHS = (48, 96)
TEXT_WIDTH = 64
UNET = {
    "sample_size": SIZE // PixelCodec.factor,
    "in_channels": 2 * PixelCodec.channels,
    "out_channels": PixelCodec.channels,
    "down_block_types": ["CrossAttnDownBlock2D"] * 2,
    "up_block_types": ["CrossAttnUpBlock2D"] * 2,
    "mid_block_type": "UNetMidBlock2DCrossAttn",
    "block_out_channels": WIDTHS,
    "layers_per_block": 1,
    "cross_attention_dim": TEXT_WIDTH,
    "attention_head_dim": [width // 16 for width in WIDTHS],  # diffusers reads it as the number of heads
    "norm_num_groups": 16,
}
TEXT_ENCODER = {
    "vocab_size": len(WORDS),
    "hidden_size": TEXT_WIDTH,
    "intermediate_size": 4 * TEXT_WIDTH,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": LENGTH,
    "hidden_act": "gelu",
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
SCHEDULE = {  # predicting the noise, or v, learned nothing in the time that predicting the picture needs
    "beta_schedule": "squaredcos_cap_v2",
    "prediction_type": "sample",
    "timestep_spacing": "trailing",
    "set_alpha_to_one": False,
    "clip_sample": False,
}


def load_editor(
    name: str = "shipped",
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
    attention_slicing: bool = False,
    safety_checker: bool = False,
) -> Editor:
    """The editor `name`, frozen: `shipped`; `half-trained`, the same one gone on with on imperfect targets, which is
    right now and then; the path of a `.safetensors` file that `save_editor` wrote; or a
    `StableDiffusionInstructPix2PixPipeline` by its name on the hub (`timbrooks/instruct-pix2pix`) or its folder.

    `attention_slicing` (slower, in less memory) and `safety_checker` (flagged pictures come out black) are those of a
    pipeline. Raises ValueError where there is no such editor, where it is another kind of pipeline, and where its
    files cannot be read; FileNotFoundError where a file of weights is missing.
    """
    if name in SHIPPED or name.endswith(".safetensors"):
        if safety_checker:
            raise ValueError(f"{name} comes without a safety checker: load it without")
        editor = _read(SHIPPED.get(name, Path(name)))
        if attention_slicing:
            editor.unet.set_attention_slice("auto")
    else:
        editor = _load_pipeline(name, attention_slicing, safety_checker)
    return editor.requires_grad_(False).eval().to(device, dtype)


def embedded_editor(config: dict[str, Any] | None = None, weights: dict[str, Tensor] | None = None) -> Editor:
    """An editor of the embedded world, as it is shipped or of `config`, with `weights` or untrained."""
    config = config or {"unet": UNET, "text_encoder": TEXT_ENCODER, "schedule": SCHEDULE}
    transformers = backends.transformers()
    unet = backends.diffusers().UNet2DConditionModel.from_config(config["unet"])
    text_encoder = transformers.CLIPTextModel(transformers.CLIPTextConfig(**config["text_encoder"]))
    if weights is not None:
        nn.ModuleDict({"unet": unet, "text_encoder": text_encoder}).load_state_dict(weights)
    return Editor(unet, text_encoder, PixelCodec(), tokens, config["schedule"])


def save_editor(editor: Editor, path: Path, facts: dict[str, str] | None = None) -> None:
    """Write an editor of the embedded world, in half precision, with what it takes to build it, and `facts`, aside."""
    config = {
        "unet": dict(editor.unet.config),
        "text_encoder": editor.text_encoder.config.to_diff_dict(),
        "schedule": editor.schedule,
        "words": WORDS,
    }
    weights = {name: weight.half().contiguous() for name, weight in editor.state_dict().items()}
    with whole(path) as partial:
        save_file(weights, partial, {**(facts or {}), "editor": json.dumps(config)})
        partial.chmod(0o644)  # safetensors writes for the owner alone


def _read(path: Path) -> Editor:
    if not path.is_file():
        raise FileNotFoundError(f"no editor at {path}: make one by `retouch make-weights editor`")
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
            weights = {name: file.get_tensor(name).float() for name in file.keys()}
    except SafetensorError as error:
        raise ValueError(f"{path} cannot be read as safetensors ({error}): fetch it or make it anew") from error
    if "editor" not in metadata:
        raise ValueError(f"{path} holds no editor: expected a file that `retouch make-weights editor` wrote")
    config = json.loads(metadata["editor"])
    if config["words"] != list(WORDS):
        raise ValueError(f"{path} was trained on other words: make it anew by `retouch make-weights editor`")
    return embedded_editor(config, weights)


def _load_pipeline(name: str, attention_slicing: bool, safety_checker: bool) -> Editor:
    pipeline = getattr(backends.diffusers(), PIPELINE)
    _check_kind(name, pipeline)
    rest = {} if safety_checker else {"safety_checker": None, "requires_safety_checker": False}
    try:
        pipe = pipeline.from_pretrained(name, **rest)
    except (OSError, SafetensorError, ValueError) as error:
        raise ValueError(
            f"the pipeline {name} cannot be read ({error}): fetch it anew, {_how_to_fetch(name)}"
        ) from error
    if safety_checker and pipe.safety_checker is None:
        raise ValueError(f"{name} comes without a safety checker: load it without")
    if attention_slicing:
        pipe.enable_attention_slicing()
    checker = SafetyChecker(pipe.safety_checker, pipe.feature_extractor) if safety_checker else None
    codec = VAECodec(pipe.vae, checker)
    return Editor(pipe.unet, pipe.text_encoder, codec, _tokenizer(pipe.tokenizer), pipe.scheduler.config)


def _check_kind(name: str, pipeline: Any) -> None:
    try:
        config = pipeline.load_config(name)
    except OSError as error:
        raise ValueError(
            f"no editor {name!r}: neither {' nor '.join(SHIPPED)}, nor a .safetensors file, nor a folder with a "
            "model_index.json, nor a pipeline of the hub that is on this machine or can be reached; to fetch it, "
            f"{_how_to_fetch(name)}"
        ) from error
    if config.get("_class_name") != PIPELINE:
        raise ValueError(f"{name} is a {config.get('_class_name')}: expected a {PIPELINE}, which edits by instruction")


def _how_to_fetch(name: str) -> str:
    return f"`hf download {name}` on a machine with a network, or give the folder that save_pretrained wrote"


def _tokenizer(tokenizer: Any) -> Callable[[list[str]], Tensor]:
    def tokenize(texts: list[str]) -> Tensor:
        length = tokenizer.model_max_length
        found = tokenizer(texts, padding="max_length", max_length=length, truncation=True, return_tensors="pt")
        return found.input_ids

    return tokenize
