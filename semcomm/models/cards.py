"""The models that the project can use: purpose, source, licence and size of each."""

from dataclasses import dataclass

_TRANSFORMERS = ("config.json", "*config.json", "model*.safetensors", "model.safetensors.index.json")
_TEXT = ("tokenizer.json", "vocab.json", "vocab.txt", "merges.txt", "special_tokens_map.json")
_DIFFUSERS = ("diffusion_pytorch_model.safetensors", "diffusion_pytorch_model.safetensors.index.json")
_PIPELINE = (
    "model_index.json",
    *("*/*.json", "*/*.txt"),
    *("*/model.safetensors", "*/diffusion_pytorch_model.safetensors"),
)


@dataclass(frozen=True)
class ModelCard:
    """One model.

    Attributes:
        name: short name that every argument naming a model takes, beside hub ids and local folders.
        purpose: what it is for.
        kind: class of the model (transformers or diffusers), or the layout of a file of weights.
        source: hub id, or address of a file; empty where it comes with semcomm.
        licence: of the weights.
        attribution: who made it.
        megabytes: about how much is downloaded.
        files: patterns of what is needed of its repository; paths in this package, where it comes with semcomm.
        sha256: beginning of the hash of the file at `source`, as its publisher states it in the file's name.
    """

    name: str
    purpose: str
    kind: str
    source: str
    licence: str
    attribution: str
    megabytes: int
    files: tuple[str, ...] = ()
    sha256: str = ""

    @property
    def is_file(self) -> bool:
        """True where it is one file of weights rather than a repository on the hub."""
        return self.source.startswith(("http://", "https://"))

    @property
    def size(self) -> str:
        """Its size in words."""
        return f"about {self.megabytes / 1000:.1f} GB" if self.megabytes >= 1000 else f"about {self.megabytes} MB"


def _sam(size: str, megabytes: int) -> ModelCard:
    return ModelCard(
        f"sam-vit-{size}",
        "masks of objects, for SeSS",
        "SamModel",
        f"facebook/sam-vit-{size}",
        "Apache-2.0",
        "Segment Anything, Kirillov et al. 2023, Meta AI",
        megabytes,
        _TRANSFORMERS,
    )


def _blip(size: str, megabytes: int) -> ModelCard:
    return ModelCard(
        f"blip-{size}",
        "captions of images",
        "BlipForConditionalGeneration",
        f"Salesforce/blip-image-captioning-{size}",
        "BSD-3-Clause",
        "BLIP, Li et al. 2022, Salesforce",
        megabytes,
        (*_TRANSFORMERS, *_TEXT),
    )


def _controlnet(edges: str) -> ModelCard:
    return ModelCard(
        f"controlnet-{edges}",
        f"generation guided by {edges} edges",
        "ControlNetModel",
        f"lllyasviel/sd-controlnet-{edges}",
        "CreativeML Open RAIL-M",
        "ControlNet, Zhang et al. 2023",
        1450,
        ("config.json", *_DIFFUSERS),
    )


def _lpips(network: str, title: str, file: str, sha256: str, megabytes: int) -> ModelCard:
    return ModelCard(
        f"lpips-{network}",
        f"LPIPS on {title}",
        f"{title} (torchvision layout)",
        f"https://download.pytorch.org/models/{file}",
        "BSD-3-Clause",
        "ImageNet weights of torchvision; the linear weights are those of torchmetrics (Zhang et al. 2018)",
        megabytes,
        sha256=sha256,
    )


def _codec(name: str, title: str, megabytes: int) -> ModelCard:
    return ModelCard(
        name,
        f"{title}, a learned transceiver",
        "semcomm codec",
        "",
        "Apache-2.0",
        "trained by this project; its own card lists the photographs",
        megabytes,
        (f"jscc/weights/{name}.safetensors",),
    )


_ALL = (
    ModelCard(
        "efficientnet-lite0-distilled",
        "embedding images without any download: SeSS, cosine, captions, losses",
        "semcomm encoder",
        "",
        "Apache-2.0",
        "EfficientNet-Lite0, Google, on ImageNet; distilled by this project, whose card lists the photographs",
        7,
        ("models/weights/encoder.safetensors",),
    ),
    ModelCard(
        "embedded-generator",
        "generating images from captions and latents without any download",
        "semcomm generator",
        "",
        "Apache-2.0",
        "trained by this project, not to the end; its own cards list the photographs",
        3,
        tuple(f"models/weights/generator_{part}.safetensors" for part in ("autoencoder", "denoiser")),
    ),
    _codec("lsci", "LSCI", 7),
    _codec("deepjscc-6", "DeepJSCC at CBR 1/6", 1),
    _codec("deepjscc-12", "DeepJSCC at CBR 1/12", 1),
    ModelCard(
        "clip-vit-h-14",
        "embedding images and texts: SeSS, CLIPScore",
        "CLIPModel",
        "laion/CLIP-ViT-H-14-laion2B-s32B-b79K",
        "MIT",
        "OpenCLIP ViT-H-14 on LAION-2B, LAION",
        3945,
        (*_TRANSFORMERS, *_TEXT),
    ),
    ModelCard(
        "clip-vit-b-32",
        "embedding images and texts, smaller",
        "CLIPModel",
        "openai/clip-vit-base-patch32",
        "MIT",
        "CLIP, Radford et al. 2021, OpenAI",
        605,
        (*_TRANSFORMERS, *_TEXT),
    ),
    ModelCard(
        "vit-base",
        "ViTScore",
        "ViTModel",
        "google/vit-base-patch16-224-in21k",
        "Apache-2.0",
        "Vision Transformer, Dosovitskiy et al. 2021, Google",
        346,
        _TRANSFORMERS,
    ),
    _sam("base", 375),
    _sam("large", 1250),
    _sam("huge", 2565),
    _blip("base", 990),
    _blip("large", 1880),
    ModelCard(
        "stable-diffusion-v1-5",
        "generating images from captions and latents",
        "StableDiffusionPipeline",
        "stable-diffusion-v1-5/stable-diffusion-v1-5",
        "CreativeML Open RAIL-M",
        "Stable Diffusion, Rombach et al. 2022, CompVis and Runway",
        5480,
        _PIPELINE,
    ),
    _controlnet("canny"),
    _controlnet("hed"),
    ModelCard(
        "stable-unclip",
        "generating images from an image embedding",
        "StableUnCLIPImg2ImgPipeline",
        "stabilityai/stable-diffusion-2-1-unclip",
        "CreativeML Open RAIL++-M",
        "Stable unCLIP 2.1, Stability AI",
        7800,
        _PIPELINE,
    ),
    _lpips("alex", "AlexNet", "alexnet-owt-7be5be79.pth", "7be5be79", 244),
    _lpips("vgg", "VGG16", "vgg16-397923af.pth", "397923af", 553),
    _lpips("squeeze", "SqueezeNet 1.1", "squeezenet1_1-b8a52dc0.pth", "b8a52dc0", 5),
    ModelCard(
        "inception-fid",
        "FID",
        "Inception v3 (pytorch-fid layout)",
        "https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/pt_inception-2015-12-05-6726825d.pth",
        "Apache-2.0",
        "Inception of TensorFlow, 2015, as converted for pytorch-fid",
        96,
        sha256="6726825d",
    ),
)
CARDS: dict[str, ModelCard] = {card.name: card for card in _ALL}
"""Every card by its short name."""


def card_of(name: str) -> ModelCard | None:
    """Return the card of a model by its short name or hub id, None where there is none."""
    return CARDS.get(name) or next((card for card in CARDS.values() if card.source == name), None)
