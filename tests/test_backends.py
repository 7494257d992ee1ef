"""The one door for heavy libraries, each in a process of its own: a failed import must not help the next."""

import os
import platform
import subprocess
import sys

import pytest
import torch

from retouch import backends


def in_a_fresh_process(code, env=None):
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, env=env)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout.split()


@pytest.mark.slow
@pytest.mark.parametrize("library, wanted", [
    ("diffusers", "AutoencoderKL"), ("transformers", "CLIPModel"), ("peft", "LoraConfig"),
    ("timm", "create_model"), ("open_clip", "CLIP"), ("torchvision", "models"),
])
def test_imports_through_the_door(library, wanted):
    code = f"from retouch import backends; print(backends.{library}().{wanted}.__name__)"
    assert in_a_fresh_process(code)[0].split(".")[-1] == wanted


@pytest.mark.slow
def test_the_door_mends_a_process_in_which_the_import_failed():
    code = ("from retouch import backends\n"
            "try:\n    import torchvision\nexcept RuntimeError: pass\n"
            "import torch\n"
            "kept = backends.torchvision().ops.boxes.nms(torch.eye(4)[:1] + torch.tensor([[0., 0, 9, 9]]),"
            " torch.ones(1), 0.5)\n"
            "print(kept.tolist(), backends.torchvision() is backends.torchvision())")
    assert in_a_fresh_process(code) == ["[0]", "True"]


def test_importing_the_door_imports_nothing_heavy():
    code = "import sys; from retouch import backends; print(sorted({'torch', 'torchvision'} & set(sys.modules)))"
    assert in_a_fresh_process(code) == ["[]"]


def test_a_healthy_torchvision_is_a_plain_import(monkeypatch):
    healthy = type(sys)("torchvision")
    monkeypatch.setitem(sys.modules, "torchvision", healthy)
    assert backends.torchvision() is healthy
    assert vars(healthy).keys() == vars(type(sys)("torchvision")).keys()


def test_another_failure_is_not_hidden(monkeypatch):
    def broken(name):
        raise RuntimeError("CUDA driver is too old")

    monkeypatch.setattr(backends.importlib, "import_module", broken)
    with pytest.raises(RuntimeError, match="driver is too old"):
        backends.torchvision()


def test_nms_keeps_the_best_of_what_overlaps():
    backends.torchvision()
    boxes = torch.tensor([[0.0, 0, 10, 10], [1, 0, 10, 10], [20, 20, 30, 30], [0, 0, 4, 10]])
    score = torch.tensor([0.5, 0.9, 0.1, 0.7])  # overlaps with box 1: .9, 0 and 3 / 10 = .3
    assert backends._nms(boxes, score, 0.5).tolist() == [1, 3, 2]
    assert backends._nms(boxes, score, 0.2).tolist() == [1, 2]
    assert backends._nms(boxes[:0], score[:0], 0.5).tolist() == []


@pytest.mark.slow
def test_a_compiled_function_is_one_for_all_and_agrees_with_the_plain_one():
    x = torch.rand(100)
    assert backends.compiled(wave) is backends.compiled(wave)
    torch.testing.assert_close(backends.compiled(wave)(x), wave(x))
    torch.testing.assert_close(backends.compiled(wave)(x[:7]), wave(x[:7]))


def wave(x):
    return torch.sin(x) * x.square() + 1


def test_without_a_compiler_one_is_told_what_to_do(monkeypatch):
    monkeypatch.setenv("CXX", "no-such-compiler")
    backends.require_compiler(torch.device("cuda"))
    with pytest.raises(ValueError, match="no no-such-compiler: install one"):
        backends.require_compiler(torch.device("cpu"))


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="glibc alone is told; elsewhere nothing is done")
def test_freed_memory_is_kept_unless_the_user_decides():
    code = ("import resource; from retouch import backends\n"
            "def faults():\n"
            "    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt\n"
            "    for _ in range(20): bytearray(2**25)\n"
            "    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before\n"
            "first = faults(); backends.keep_freed_memory(); faults(); print(first, faults())")
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("MALLOC_", "GLIBC_"))}
    before, kept = map(int, in_a_fresh_process(code, clean))
    assert kept < before / 5
    before, asked = map(int, in_a_fresh_process(code, clean | {"MALLOC_MMAP_THRESHOLD_": "131072"}))
    assert asked > before / 2
