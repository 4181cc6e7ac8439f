"""Two processes that train together do what one does with both their shares of the batch."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from semcomm.errors import ConfigurationError
from semcomm.training import Settings, train
from semcomm.training.checkpoints import last
from semcomm.training.processes import Processes

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))
from fits_curves import STEPS, Curve  # noqa: E402

OPTIONS = {"steps": STEPS, "batch": 8, "learning_rate": 0.01, "warmup_steps": 2, "ema": 0.5, "precision": "fp32"}
OPTIONS |= {"device": "cpu", "threads": 1}


def launch(folder, processes=2, **options):
    pytest.importorskip("accelerate")
    file = folder / "curve.json"
    file.write_text(json.dumps({"task": {"class_path": "fits_curves.Curve"}, **OPTIONS, **options}))
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(processes)]
    command += ["-m", "semcomm", "train", str(file), "--out", str(folder / "run")]
    path = os.pathsep.join([str(HERE), *filter(None, [os.environ.get("PYTHONPATH")])])
    return subprocess.run(
        command,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
        timeout=300,
    )


def test_two_processes_train_as_one_with_both_shares(tmp_path):
    done = launch(tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("weights:") == 1
    card = (tmp_path / "run/curve.md").read_text()
    assert "`torchrun --nproc_per_node 2 -m semcomm train curve.json --out DIR`" in card
    assert last(tmp_path / "run").stem == f"checkpoint-{STEPS:08d}"
    together = load_file(tmp_path / "run/curve.safetensors")
    alone = load_file(train(Curve(both=True), Settings(**OPTIONS), tmp_path / "alone"))
    other = load_file(train(Curve(), Settings(**OPTIONS), tmp_path / "other"))
    assert all(torch.allclose(together[k], alone[k], atol=1e-5) for k in alone)
    assert any(not torch.allclose(together[k], other[k], atol=1e-4) for k in alone)  # the check can fail


@pytest.mark.skipif(torch.cuda.is_available(), reason="for machines without a GPU")
def test_without_a_gpu_auto_is_the_cpu_for_all_of_them(tmp_path):
    done = launch(tmp_path, device="auto")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("weights:") == 1  # one of the two writes


def test_a_batch_that_cannot_be_shared_is_refused(monkeypatch):
    processes = Processes("cpu")
    assert processes.share(7) == 7
    processes.count = 2
    with pytest.raises(ConfigurationError, match="multiple of the 2 processes"):
        processes.share(7)


def test_a_part_that_one_process_left_out_counts_as_nothing():
    """As when the images of one have fewer layers than those of the other."""
    module = torch.nn.Linear(2, 1)
    module.weight.grad = torch.tensor([[1.0, 3.0]])

    class Two:
        """Stands for accelerate, beside a process whose gradients are all 1."""

        def reduce(self, gradients, how):
            assert (gradients.shape, how) == ((3,), "mean")
            return (gradients + 1) / 2

    processes = Processes("cpu")
    processes._accelerator = Two()
    processes.average_gradients(module)
    assert module.weight.grad.tolist() == [[1.0, 2.0]]
    assert module.bias.grad.tolist() == [0.5]
