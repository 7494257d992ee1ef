"""Latent codes in the published files of numpy."""

import os
import pickle

import numpy as np
import pytest
import torch

from retouch.simulators.latent_files import read_latent_codes, read_latents


class Harmful:
    def __reduce__(self):
        return os.mkdir, ("harmed",)


def save(path, content):
    np.save(path, np.array(content, dtype=object), allow_pickle=True)
    return path


@pytest.fixture
def split(tmp_path):
    """Three faces of the training data."""
    np.save(tmp_path / "selected_latent_code.npy", np.arange(3 * 512, dtype=np.float32).reshape(3, 512))
    np.save(tmp_path / "selected_pred_class.npy", np.array([[0, 1, 2, 3, 4]] * 3))
    np.save(tmp_path / "selected_pred_scores.npy", np.full((3, 5), 0.5, np.float64))
    return tmp_path


def test_the_teaser_file(tmp_path):
    codes = {"0000000.png": np.full((1, 512), 0.5, np.float32), "0000001.png": np.zeros((18, 512), np.float32)}
    latents = read_latents(save(tmp_path / "teaser_latent_code.npz.npy", codes))
    assert list(latents) == ["0000000.png", "0000001.png"]
    assert torch.equal(latents["0000000.png"], torch.full((512,), 0.5))
    assert latents["0000001.png"].shape == (18, 512)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_any_protocol_of_pickle(tmp_path, protocol):
    path = tmp_path / "codes.npy"
    content = np.array({"a.png": np.ones((1, 512), np.float32)}, dtype=object)
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, np.lib.format.header_data_from_array_1_0(content))
        pickle.dump(content, file, protocol=protocol)
    assert torch.equal(read_latents(path)["a.png"], torch.ones(512))


def test_a_plain_array(tmp_path):
    np.save(tmp_path / "codes.npy", np.ones((2, 512)))
    latents = read_latents(tmp_path / "codes.npy")
    assert list(latents) == ["0000000", "0000001"]
    assert latents["0000001"].dtype == torch.float32


@pytest.mark.parametrize("content", [{"a": Harmful()}, Harmful(), {"a": [Harmful()]}])
def test_nothing_in_a_file_is_executed(tmp_path, monkeypatch, content):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match="mkdir"):
        read_latents(save(tmp_path / "codes.npy", content))
    assert not (tmp_path / "harmed").exists()


@pytest.mark.parametrize(
    "content", [{"a": "text"}, {1: np.ones(3)}, [1, 2], {"a": np.array(["x"])}, {"a": np.array([np.nan])}]
)
def test_what_is_no_latent_codes(tmp_path, content):
    with pytest.raises(ValueError, match="codes.npy"):
        read_latents(save(tmp_path / "codes.npy", content))


@pytest.mark.parametrize("content", [b"", b"no numpy", b"\x93NUMPY\x01\x00"])
def test_files_that_are_not_numpys(tmp_path, content):
    (tmp_path / "codes.npy").write_bytes(content)
    with pytest.raises(ValueError, match="codes.npy cannot be read"):
        read_latents(tmp_path / "codes.npy")


def test_a_file_that_is_cut_short(tmp_path):
    path = save(tmp_path / "codes.npy", {"a": np.ones((1, 512), np.float32)})
    path.write_bytes(path.read_bytes()[:-300])
    with pytest.raises(ValueError, match="codes.npy cannot be read"):
        read_latents(path)


def test_training_data(split):
    codes = read_latent_codes(split)
    assert codes.codes.shape == (3, 512)
    assert codes.codes[1, 0] == 512
    assert codes.degrees.tolist() == [[0, 1, 2, 3, 4]] * 3
    assert codes.degrees.dtype == torch.int64
    assert torch.equal(codes.scores, torch.full((3, 5), 0.5))


def test_training_data_without_scores(split):
    (split / "selected_pred_scores.npy").unlink()
    assert read_latent_codes(split).scores is None


def test_training_data_with_a_part_missing(split):
    (split / "selected_pred_class.npy").unlink()
    with pytest.raises(FileNotFoundError, match="selected_pred_class.npy"):
        read_latent_codes(split)


@pytest.mark.parametrize(
    "degrees", [np.zeros((2, 5), int), np.zeros((3, 4), int), np.full((3, 5), 6), -np.ones((3, 5))]
)
def test_training_data_that_does_not_belong_together(split, degrees):
    np.save(split / "selected_pred_class.npy", degrees)
    with pytest.raises(ValueError, match="degrees"):
        read_latent_codes(split)
