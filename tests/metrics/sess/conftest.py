import pytest
import torch


@pytest.fixture(autouse=True)
def one_thread():
    """The models here are tiny: threads would cost more than they save, on a busy machine many times as much."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
