"""A pipeline of Stable Diffusion's classes with random weights: what its speed is measured on."""

import json
from collections.abc import Sequence
from pathlib import Path
from string import ascii_lowercase
from typing import Any

import torch

from .. import backends

WIDTHS = (96, 192, 384)  # 28.2 million weights in the UNet
TEXT_WIDTH, TEXT_LENGTH = 128, 77
SCHEDULE = {  # Stable Diffusion's
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "clip_sample": False,
    "set_alpha_to_one": False,
    "steps_offset": 1,
}


def save_pipeline(folder: Path, widths: Sequence[int] = WIDTHS) -> Path:
    """Write a pipeline that edits into ``folder``, as on the hub; ``widths`` are those of the UNet's levels.

    A pixel of its latents is two of the picture, and its tokenizer spells.
    """
    diffusers, transformers = backends.diffusers(), backends.transformers()
    torch.manual_seed(0)
    told = len(widths) - 1  # levels with attention
    unet = diffusers.UNet2DConditionModel(
        in_channels=8,
        out_channels=4,
        down_block_types=["CrossAttnDownBlock2D"] * told + ["DownBlock2D"],
        up_block_types=["UpBlock2D"] + ["CrossAttnUpBlock2D"] * told,
        block_out_channels=tuple(widths),
        layers_per_block=1,
        cross_attention_dim=TEXT_WIDTH,
    )
    vae = diffusers.AutoencoderKL(
        block_out_channels=(32, 64),
        down_block_types=["DownEncoderBlock2D"] * 2,
        up_block_types=["UpDecoderBlock2D"] * 2,
    )
    tokenizer = letters(folder)
    config = transformers.CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=TEXT_WIDTH,
        intermediate_size=4 * TEXT_WIDTH,
        num_hidden_layers=4,
        num_attention_heads=4,
        max_position_embeddings=TEXT_LENGTH,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    pipe = diffusers.StableDiffusionInstructPix2PixPipeline(
        vae=vae,
        text_encoder=transformers.CLIPTextModel(config),
        tokenizer=tokenizer,
        unet=unet,
        scheduler=diffusers.DDIMScheduler(**SCHEDULE),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipe.save_pretrained(folder)
    return folder


def letters(folder: Path) -> Any:
    """A tokenizer of CLIP's kind that knows single letters."""
    alphabet = [*ascii_lowercase, *(letter + "</w>" for letter in ascii_lowercase)]
    words = ["<|startoftext|>", "<|endoftext|>", *alphabet]
    (folder / "vocab.json").write_text(json.dumps({word: place for place, word in enumerate(words)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    return backends.transformers().CLIPTokenizer.from_pretrained(folder, model_max_length=TEXT_LENGTH)
