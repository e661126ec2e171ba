"""End states of an LSTM, against its equations and whatever the padding."""

import pytest
import torch
from literal_layers import array, lstm_ends

from hscl.model.recurrent import EndState


@pytest.mark.parametrize(("layers", "bidirectional"), [(1, False), (2, True)])
def test_it_is_the_state_after_the_last_real_frame(layers: int, bidirectional: bool) -> None:  # noqa: FBT001
    torch.manual_seed(0)
    encoder = EndState(3, 4, layers=layers, bidirectional=bidirectional)
    frames = torch.randn(3, 5, 3)
    states = encoder(frames, torch.tensor([5, 2, 0]))
    assert states.shape == (3, encoder.width)
    for row, length in enumerate((5, 2)):
        expected = lstm_ends(encoder.lstm, array(frames[row, :length]))
        torch.testing.assert_close(
            states[row].double(), torch.tensor(expected), rtol=1e-5, atol=1e-6
        )
    assert not states[2].any()


def test_no_frames_at_all_give_nothing() -> None:
    encoder = EndState(3, 4)
    assert (
        encoder(torch.zeros(2, 0, 3), torch.zeros(2, dtype=torch.int64)).tolist()
        == [[0.0] * 4] * 2
    )


def test_bf16_on_a_cpu_changes_nothing_and_needs_no_instructions_of_its_own() -> None:
    torch.manual_seed(0)
    encoder, frames = EndState(3, 4), torch.randn(2, 5, 3)
    exact = encoder(frames, torch.tensor([5, 2]))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        states = encoder(frames, torch.tensor([5, 2]))
    assert states.dtype is torch.float32
    assert torch.equal(states, exact)
