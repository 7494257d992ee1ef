"""Every registered task, small enough to play on a CPU in milliseconds, and a pipeline of the hub as small."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import pytest
import torch

import retouch
from retouch import backends
from retouch.benchmarks import learners
from retouch.benchmarks.random_pipeline import SCHEDULE, letters
from retouch.envs.image_edit import ImageEdit
from retouch.simulators.editors import embedded_editor, save_editor

torch.set_num_threads(1)

SMALL = {
    "StrokePaint-v0": {"size": 32, "steps": 3, "strokes": 2, "targets": "embedded:16"},
    "StrokePaintGuided-v0": {"size": 32, "steps": 3, "strokes": 2, "targets": "embedded:16"},
    "ImageEdit-v0": {"steps": 3, "edits": "embedded:16"},
    "FaceDialog-v0": {"rounds": 2, "micro_steps": 2, "size": 32},
    "ImageRetrieval-v0": {"items": 30, "turns": 3},
}


def pytest_collection_modifyitems(items):
    if not torch.cuda.is_available():
        for item in items:
            if "gpu" in item.keywords:
                item.add_marker(pytest.mark.skip(reason="needs a CUDA device"))


@pytest.fixture
def guests_leave():
    """Agents that a test makes known are unknown to the next."""
    known = dict(learners.AGENTS)
    yield
    learners.AGENTS.clear()
    learners.AGENTS.update(known)


@pytest.fixture(params=sorted(retouch.TASKS))
def task_id(request):
    return request.param


@pytest.fixture
def small(task_id):
    """Arguments that make the task small."""
    return SMALL[task_id]


@pytest.fixture(scope="session")
def model(tmp_path_factory):
    """The path of an untrained editor."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("editor") / "editor.safetensors"
    save_editor(embedded_editor(), path)
    return str(path)


@pytest.fixture
def edit_task(model):
    """Builds an ImageEdit of that editor."""
    return lambda **settings: ImageEdit(**{"edits": "embedded:40", "model": model} | settings)


@pytest.fixture(scope="session")
def hub(tmp_path_factory):
    """A tiny random pipeline in the layout of the hub."""
    folder = tmp_path_factory.mktemp("hub")
    diffusers, transformers = backends.diffusers(), backends.transformers()
    torch.manual_seed(0)
    unet = diffusers.UNet2DConditionModel(
        sample_size=8,
        in_channels=8,
        out_channels=4,
        down_block_types=["CrossAttnDownBlock2D", "DownBlock2D"],
        up_block_types=["UpBlock2D", "CrossAttnUpBlock2D"],
        block_out_channels=(16, 32),
        layers_per_block=1,
        cross_attention_dim=16,
        attention_head_dim=2,
        norm_num_groups=8,
    )
    vae = diffusers.AutoencoderKL(
        latent_channels=4,
        block_out_channels=(8, 16),
        norm_num_groups=4,
        down_block_types=["DownEncoderBlock2D"] * 2,
        up_block_types=["UpDecoderBlock2D"] * 2,
        scaling_factor=0.18215,
    )
    tokenizer = letters(folder)
    config = transformers.CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        max_position_embeddings=77,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    pipe = diffusers.StableDiffusionInstructPix2PixPipeline(
        vae=vae,
        text_encoder=transformers.CLIPTextModel(config).eval(),
        tokenizer=tokenizer,
        unet=unet.eval(),
        scheduler=diffusers.DDIMScheduler(**SCHEDULE),
        safety_checker=small_checker(),
        feature_extractor=transformers.CLIPImageProcessor(size={"shortest_edge": 16}, crop_size=16),
    )
    pipe.save_pretrained(folder / "pipe")
    return folder / "pipe"


def small_checker():
    backends.diffusers()
    from diffusers.pipelines.stable_diffusion.safety_checker import StableDiffusionSafetyChecker

    vision = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = backends.transformers().CLIPConfig(
        vision_config={**vision, "image_size": 16, "patch_size": 8}, text_config=vision, projection_dim=8
    )
    return StableDiffusionSafetyChecker(config)
