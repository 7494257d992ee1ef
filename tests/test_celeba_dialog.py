"""The files of CelebA-Dialog."""

import json

import pytest

from retouch.simulators.celeba_dialog import (
    read_annotated_requests,
    read_captions,
    read_labels,
    read_requests,
)
from retouch.simulators.face_heads import UNLABELLED


@pytest.fixture
def write(tmp_path):
    """Writes a file, as json unless it is text."""

    def write(name, content):
        path = tmp_path / name
        path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
        return path

    return write


def test_labels(write):
    path = write(
        "combined_annotation.txt", "name Bangs Eyeglasses ...\n000001.jpg 0 1 2 3 4\n\n000002.jpg  5 5 0 0 1 \n"
    )
    labels = read_labels(path)
    assert labels.names == ["000001.jpg", "000002.jpg"]
    assert labels.degrees.tolist() == [[0, 1, 2, 3, 4], [5, 5, 0, 0, 1]]


def test_labels_of_nobody(write):
    assert read_labels(write("combined_annotation.txt", "header\n")).degrees.shape == (0, 5)


@pytest.mark.parametrize(
    "line", ["1.jpg 0 1 2 3", "1.jpg 0 1 2 3 4 5", "1.jpg 0 1 2 3 6", "1.jpg 0 1 2 3 -1", "1.jpg a b"]
)
def test_wrong_labels_are_told_by_their_line(write, line):
    with pytest.raises(ValueError, match="line 3"):
        read_labels(write("combined_annotation.txt", f"header\n0.jpg 0 0 0 0 0\n{line}\n"))


def test_captions(write):
    parts = {"Bangs": "No bangs.", "Eyeglasses": None, "No_Beard": "A beard.", "Smiling": None, "Young": "Old."}
    path = write("captions_hq.json", {"0.jpg": {"overall_caption": "A man.", "attribute_wise_captions": parts}})
    caption = read_captions(path)["0.jpg"]
    assert caption.overall == "A man."
    assert caption.attributes == {"bangs": "No bangs.", "beard": "A beard.", "age": "Old."}


@pytest.mark.parametrize("entry", ["text", {}, {"overall_caption": "x"}, {"attribute_wise_captions": {}}])
def test_wrong_captions_are_told_by_their_name(write, entry):
    with pytest.raises(ValueError, match=r"0\.jpg"):
        read_captions(write("captions.json", {"0.jpg": entry}))


def test_requests_of_both_kinds(write):
    expected = {"0.jpg": "Please make him older.", "1.jpg": "More, beard"}
    assert read_requests(write("request_hq.json", expected)) == expected
    lines = "0.jpg\tPlease make him older.\n\n1.jpg\tMore, beard\n"
    assert read_requests(write("request_hq.txt", lines)) == expected


def test_wrong_requests(write):
    with pytest.raises(ValueError, match="line 2"):
        read_requests(write("request_hq.txt", "0.jpg\tolder\n1.jpg younger\n"))
    with pytest.raises(ValueError, match=r"1\.jpg"):
        read_requests(write("request_hq.json", {"0.jpg": "older", "1.jpg": 3}))
    with pytest.raises(ValueError, match="is no json"):
        read_requests(write("request_hq.json", "{"))
    with pytest.raises(ValueError, match="holds a list"):
        read_requests(write("request_hq.json", []))
    with pytest.raises(FileNotFoundError, match="no file of CelebA-Dialog"):
        read_requests("request_hq.txt")


def test_annotated_requests(write):
    entry = {
        "text": "make the bangs longer",
        "attribute": "Bangs",
        "request_mode": "change_definite",
        "target_score": None,
        "score_change_direction": "positive",
        "score_change_value": 4,
    }
    request = read_annotated_requests(write("request_annotated_hq.json", {"0.jpg": entry}))["0.jpg"]
    assert request.text == "make the bangs longer"
    assert request.labels.tolist() == [*[UNLABELLED] * 4, 0, 1, 3, UNLABELLED, 0]


@pytest.mark.parametrize(
    "entry", [{}, {"text": "x", "attribute": "Hair"}, {"text": "x", "target_score": 6}, {"text": 3}, "text"]
)
def test_wrong_annotations_are_told_by_their_name(write, entry):
    with pytest.raises(ValueError, match=r"0\.jpg"):
        read_annotated_requests(write("request_annotated_hq.json", {"0.jpg": entry}))
