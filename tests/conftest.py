"""Every registered task, small enough to play on a CPU in milliseconds."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import pytest
import torch

import retouch

torch.set_num_threads(1)

SMALL = {
    "StrokePaint-v0": {"size": 32, "steps": 3, "strokes": 2, "targets": "embedded:16"},
    "StrokePaintGuided-v0": {"size": 32, "steps": 3, "strokes": 2, "targets": "embedded:16"},
}


def pytest_collection_modifyitems(items):
    if not torch.cuda.is_available():
        for item in items:
            if "gpu" in item.keywords:
                item.add_marker(pytest.mark.skip(reason="needs a CUDA device"))


@pytest.fixture(params=sorted(retouch.TASKS))
def task_id(request):
    return request.param


@pytest.fixture
def small(task_id):
    """Arguments that make the task small."""
    return SMALL[task_id]
