import pytest
import tiny_diffusion
import tiny_models

from semcomm import memo


@pytest.fixture(scope="session")
def tiny(tmp_path_factory):
    """Folder of every kind of model, tiny: name -> path."""
    root = tmp_path_factory.mktemp("generative")
    made = {
        "sd": tiny_diffusion.stable_diffusion(root / "sd"),
        "blip": tiny_models.blip(root / "blip"),
        "controlnet": tiny_diffusion.controlnet(root / "controlnet"),
        "unclip": tiny_diffusion.unclip(root / "unclip"),
    }
    return {name: str(path) for name, path in made.items()}


@pytest.fixture(autouse=True)
def fresh_memo():
    with memo.using(memo.Memo()):
        yield
