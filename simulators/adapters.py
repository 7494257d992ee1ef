"""Low-rank adapters (LoRA, Hu et al., ICLR 2022) on a denoiser's attention, in files that diffusers reads."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from textwrap import shorten

import torch
from safetensors import SafetensorError

from .. import backends
from .editor import Editor

PROJECTIONS = ("to_q", "to_k", "to_v", "to_out.0")  # of every attention, as DDPO adapts them
WEIGHTS = "pytorch_lora_weights.safetensors"  # as diffusers calls the file,
NAME = "default"  # and the adapter
LONGEST = 200  # characters of another library's error that are passed on


def add_adapter(editor: Editor, rank: int = 4, alpha: float | None = None, seed: int = 0) -> None:
    """Give `editor` an adapter, which alone is trained and changes nothing yet; `alpha` is `rank` unless given.

    Its weights are float32 whatever the denoiser computes in. `seed` alone decides them.
    """
    if rank < 1:
        raise ValueError(f"the rank of an adapter must be at least 1, got {rank}")
    if has_adapter(editor):
        raise ValueError("this editor has an adapter already: load the editor anew for another")
    peft = backends.peft()
    config = peft.LoraConfig(
        r=rank, lora_alpha=alpha or rank, init_lora_weights="gaussian", target_modules=list(PROJECTIONS)
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        editor.unet.add_adapter(config, NAME)
    _train(editor)


def load_adapter(editor: Editor, folder: str | Path) -> None:
    """Give `editor` the adapter that `save_adapter`, or diffusers, wrote into `folder`; it goes on being trained.

    Raises FileNotFoundError where there is none, ValueError where it cannot be read or is of another denoiser.
    """
    path = Path(folder) / WEIGHTS
    if not path.is_file():
        raise FileNotFoundError(f"no adapter in {folder}: expected a folder that holds {WEIGHTS}")
    if has_adapter(editor):
        raise ValueError("this editor has an adapter already: load the editor anew for another")
    try:
        editor.unet.load_lora_adapter(
            str(folder), prefix="unet", weight_name=WEIGHTS, adapter_name=NAME, local_files_only=True
        )
    except (OSError, SafetensorError) as error:
        raise ValueError(f"{path} cannot be read ({error}): save it anew") from error
    except (RuntimeError, ValueError) as error:
        told = shorten(str(error), LONGEST, placeholder=" ...")  # torch names every weight that does not fit
        raise ValueError(f"{path} does not fit this denoiser: it was trained on another one ({told})") from error
    if not has_adapter(editor):
        raise ValueError(f"{path} holds no weights of a denoiser's adapter: expected keys that begin with unet")
    _train(editor)


def save_adapter(editor: Editor, folder: str | Path) -> None:
    """Write the adapter into `folder`, for `load_adapter` and for the `load_lora_weights` of diffusers' pipelines."""
    peft = backends.peft()
    pipeline = backends.diffusers().StableDiffusionInstructPix2PixPipeline
    state = peft.utils.get_peft_model_state_dict(editor.unet)
    pipeline.save_lora_weights(
        folder,
        unet_lora_layers={name: weight.contiguous() for name, weight in state.items()},
        unet_lora_adapter_metadata=editor.unet.peft_config[NAME].to_dict(),
    )


def has_adapter(editor: Editor) -> bool:
    return bool(getattr(editor.unet, "peft_config", None))


@contextmanager
def without_adapter(editor: Editor) -> Iterator[None]:
    """Within, `editor` is what it was before any training."""
    editor.unet.disable_adapters()
    try:
        yield
    finally:
        editor.unet.enable_adapters()


def _train(editor: Editor) -> None:
    for name, parameter in editor.named_parameters():
        adapts = "lora_" in name
        parameter.requires_grad_(adapts)
        if adapts:
            parameter.data = parameter.data.float()
