"""Random models, tiny where the architecture can be, saved as the published ones are."""

import json
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import nn


def quietly(save, folder: Path) -> Path:
    from semcomm.models.loading import quiet_transformers

    with quiet_transformers():
        save(folder)
    return folder


def clip(folder: Path, seed: int = 0, size: int = 32) -> Path:
    """A CLIP model with its processor and tokenizer."""
    from transformers import CLIPConfig, CLIPImageProcessorPil, CLIPModel

    torch.manual_seed(seed)
    layers = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = CLIPConfig(
        text_config={**layers, "vocab_size": 514, "bos_token_id": 512, "eos_token_id": 513},
        vision_config={**layers, "image_size": size, "patch_size": 8},
        projection_dim=24,
    )
    quietly(CLIPModel(config).save_pretrained, folder)
    crop = {"height": size, "width": size}
    CLIPImageProcessorPil(size={"shortest_edge": size}, crop_size=crop).save_pretrained(folder)
    clip_tokenizer().save_pretrained(folder)
    return folder


def clip_tokenizer():
    """CLIP's tokenizer with single characters for words."""
    from transformers import CLIPTokenizer

    symbols = [chr(0x100 + n) for n in range(256)]
    letters = [chr(n) for n in range(33, 127)]
    alphabet = (letters + symbols)[:256]
    vocabulary = {symbol: n for n, symbol in enumerate(alphabet + [f"{symbol}</w>" for symbol in alphabet])}
    vocabulary |= {"<|startoftext|>": 512, "<|endoftext|>": 513}
    return CLIPTokenizer(vocab=vocabulary, merges=[], model_max_length=77)


def vit(folder: Path, seed: int = 0) -> Path:
    """A vision transformer with its processor."""
    from transformers import ViTConfig, ViTImageProcessorPil, ViTModel

    torch.manual_seed(seed)
    config = ViTConfig(
        hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=2, image_size=32, patch_size=8
    )
    quietly(ViTModel(config).save_pretrained, folder)
    ViTImageProcessorPil(size={"height": 32, "width": 32}).save_pretrained(folder)
    return folder


def blip(folder: Path, seed: int = 0) -> Path:
    """A captioning model with its processor and tokenizer."""
    from transformers import BertTokenizer, BlipConfig, BlipForConditionalGeneration, BlipImageProcessorPil

    torch.manual_seed(seed)
    layers = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2}
    words = [f"[{word}]" for word in ("PAD", "UNK", "CLS", "SEP", "MASK", "DEC")] + ["a", "photo", "of", "dog", "cat"]
    special = {"pad_token_id": 0, "eos_token_id": 3, "sep_token_id": 3, "bos_token_id": 5}
    config = BlipConfig(
        text_config={**layers, "vocab_size": len(words), "encoder_hidden_size": 32, **special},
        vision_config={**layers, "image_size": 32, "patch_size": 8},
        projection_dim=16,
        image_text_hidden_size=16,
    )
    quietly(BlipForConditionalGeneration(config).save_pretrained, folder)
    BlipImageProcessorPil(size={"height": 32, "width": 32}).save_pretrained(folder)
    BertTokenizer(vocab={word: n for n, word in enumerate(words)}).save_pretrained(folder)
    return folder


class Fire(nn.Module):
    def __init__(self, channels, squeezed, expanded):
        super().__init__()
        self.squeeze = nn.Conv2d(channels, squeezed, 1)
        self.expand1x1 = nn.Conv2d(squeezed, expanded, 1)
        self.expand3x3 = nn.Conv2d(squeezed, expanded, 3, padding=1)

    def forward(self, x):
        x = torch.relu(self.squeeze(x))
        return torch.cat([torch.relu(self.expand1x1(x)), torch.relu(self.expand3x3(x))], dim=1)


def torchvision_features(network: str, seed: int = 0) -> nn.Sequential:
    """The `features` of torchvision's classifiers, layer by layer as its state dicts number them."""
    torch.manual_seed(seed)
    conv, relu, pool = nn.Conv2d, nn.ReLU, nn.MaxPool2d
    if network == "alex":
        layers = [conv(3, 64, 11, 4, 2), relu(), pool(3, 2), conv(64, 192, 5, padding=2), relu(), pool(3, 2)]
        layers += [conv(192, 384, 3, padding=1), relu(), conv(384, 256, 3, padding=1), relu()]
        layers += [conv(256, 256, 3, padding=1), relu(), pool(3, 2)]
    elif network == "vgg":
        layers, channels = [], 3
        for width in [64, 64, "M", 128, 128, "M", 256, 256, 256, "M", 512, 512, 512, "M", 512, 512, 512, "M"]:
            if width == "M":
                layers.append(pool(2, 2))
            else:
                layers += [conv(channels, width, 3, padding=1), relu()]
                channels = width
    else:
        layers = [conv(3, 64, 3, 2), relu(), pool(3, 2, ceil_mode=True), Fire(64, 16, 64), Fire(128, 16, 64)]
        layers += [pool(3, 2, ceil_mode=True), Fire(128, 32, 128), Fire(256, 32, 128), pool(3, 2, ceil_mode=True)]
        layers += [Fire(256, 48, 192), Fire(384, 48, 192), Fire(384, 64, 256), Fire(512, 64, 256)]
    for layer in layers:
        if isinstance(layer, conv):
            nn.init.kaiming_normal_(layer.weight)  # so that deep maps are not all but zero
    return nn.Sequential(*layers).eval().requires_grad_(False)


def torchvision_file(path: Path, network: str, seed: int = 0) -> Path:
    """A state dict of torchvision's layout, with a stand-in for the classifier that nobody needs."""
    found = {f"features.{name}": value for name, value in torchvision_features(network, seed).state_dict().items()}
    found["classifier.1.weight"] = torch.zeros(2, 2)
    torch.save(found, path) if path.suffix == ".pth" else save_file(found, path)
    return path


def edit_json(path: Path, **changes) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
