"""The published weights of the aesthetic head."""

from pathlib import Path

from ..rewards.aesthetic import AestheticHead
from .clip import UNREADABLE
from .detectors import load_state

SOURCE = "sac+logos+ava1-l14-linearMSE.pth of github.com/christophschuhmann/improved-aesthetic-predictor"


def load_aesthetic(path: str | Path) -> AestheticHead:
    """The head, frozen, for embeddings by `ViT-L-14:openai`; weights from `torch.save` or a `.safetensors` file.

    Raises ValueError where there is no such file, and where it cannot be read or holds something else.
    """
    try:
        state = load_state(path)
    except FileNotFoundError as error:
        raise ValueError(f"no aesthetic head at {path}: fetch {SOURCE}") from error
    except UNREADABLE as error:
        raise ValueError(f"{path} is no file of weights ({error}): fetch {SOURCE} anew") from error
    head = AestheticHead()
    expected = {key: value.shape for key, value in head.state_dict().items()}
    if not isinstance(state, dict) or {key: getattr(value, "shape", None) for key, value in state.items()} != expected:
        raise ValueError(f"{path} is no aesthetic head: expected layers.0 to layers.7 of {SOURCE}")
    head.load_state_dict(state)
    return head.requires_grad_(False).eval()
