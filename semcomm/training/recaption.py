"""Captions by another image encoder: `python -m semcomm.training.recaption FOLDER`, after the default one changed.

The embedded generator gives an image the class whose mean embedding is nearest. Those means stand in the denoiser's
file and belong to one encoder; this finds them again, in the images that the denoiser was trained on, and leaves the
denoiser as it is.
"""

import argparse
import hashlib
import json
import re
from pathlib import Path

from safetensors.torch import save

from semcomm.files import write_whole
from semcomm.models.files import read_weights
from semcomm.models.generator.files import AUTOENCODER, DENOISER, read_autoencoder, read_denoiser
from semcomm.models.generator.generator import Generator
from semcomm.training.tasks.denoising import LatentDenoising
from semcomm.training.tasks.generator_checks import worth


def recaption(class_folder: str, path: Path = DENOISER, autoencoder: Path = AUTOENCODER) -> float:
    """Write a denoiser's file and its card again, with captions by the default encoder; return their accuracy.

    Args:
        class_folder: the folder with a folder of images for each class that the denoiser was trained on.
        path: the denoiser's file.
        autoencoder: that of the autoencoder whose latents it denoises.

    Raises:
        ModelError: when it holds no denoiser.
        ConfigurationError: when the folder has other classes.
    """
    weights = read_weights(path, "denoiser of the embedded generator")
    task = LatentDenoising(class_folder)
    accuracy = task.find_classes(len(weights.card["words"]))
    tensors = weights.tensors | {"class_means": task.class_means.half()}
    card = {**weights.card, "encoder": task.encoder.weights()}
    write_whole(path, save(tensors, {"card": json.dumps(card)}))
    card["checks"] = worth(Generator(read_autoencoder(autoencoder), read_denoiser(path)))
    data = save(tensors, {"card": json.dumps(card)})
    write_whole(path, data)
    page = path.with_suffix(".md")
    text = re.sub(r"SHA-256 `[0-9a-f]{64}`", f"SHA-256 `{hashlib.sha256(data).hexdigest()}`", page.read_text("utf-8"))
    text = re.sub(r"[\d.]+ MB, SHA", f"{len(data) / 1e6:.2f} MB, SHA", text)
    for name, value in card["checks"].items():
        text = re.sub(rf"^\| {re.escape(name)} \| .*$", f"| {name} | {value} |", text, flags=re.MULTILINE)
    text = re.sub(r"^\| caption_accuracy \| .*$", f"| caption_accuracy | {accuracy:.5f} |", text, flags=re.MULTILINE)
    write_whole(page, text.encode())
    return accuracy


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("class_folder")
    print(f"caption accuracy on held-back images: {recaption(parser.parse_args().class_folder):.3f}")
