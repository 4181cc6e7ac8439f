import io

import numpy as np
import pytest
import torch
from PIL import Image

from semcomm.errors import ConfigurationError, ImageError
from semcomm.images import BUILTIN, ImageSet, content_hash, from_bytes, quantise, read_image, to_bytes, write_image


def save(path, array_or_image, **options):
    image = array_or_image if isinstance(array_or_image, Image.Image) else Image.fromarray(array_or_image)
    image.save(path, **options)
    return path


def colours(height=6, width=8):
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_png_round_trip_is_exact(tmp_path):
    image = from_bytes(colours())
    write_image(tmp_path / "a.png", image)
    assert torch.equal(read_image(tmp_path / "a.png"), image)
    assert image.shape == (3, 6, 8)
    assert image.dtype == torch.float32


def test_quantise_rounds_clips_and_has_no_nan():
    values = torch.tensor([-1.0, 0.5, 2.0, float("nan"), 0.1])
    assert quantise(values).tolist() == pytest.approx([0, 128 / 255, 1, 0, 26 / 255])


def test_hash_depends_on_pixels_and_shape():
    image = from_bytes(colours())
    assert content_hash(image) == content_hash(image + 0.001)  # the same 8-bit pixels
    assert content_hash(image) != content_hash(image.flip(1))
    assert content_hash(torch.zeros(3, 2, 3)) != content_hash(torch.zeros(3, 3, 2))


def test_grey_palette_and_opaque_images_become_rgb(tmp_path):
    grey = save(tmp_path / "grey.png", colours()[..., 0])
    opaque = save(tmp_path / "rgba.png", np.dstack([colours(), np.full((6, 8), 255, np.uint8)]))
    palette = save(tmp_path / "palette.png", Image.fromarray(colours()).quantize(16))
    assert torch.equal(*(read_image(grey)[i] for i in (0, 2)))
    assert np.array_equal(to_bytes(read_image(opaque)), colours())
    assert read_image(palette).shape == (3, 6, 8)


def test_exif_orientation_is_applied(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    path = save(tmp_path / "turned.png", colours(), exif=exif)
    assert read_image(path).shape == (3, 8, 6)


def test_bad_images_are_named(tmp_path):
    frames = [Image.fromarray(colours()), Image.fromarray(colours()[::-1].copy())]
    buffer = io.BytesIO()
    Image.fromarray(colours(200, 200)).save(buffer, "PNG")
    (tmp_path / "cut.png").write_bytes(buffer.getvalue()[: len(buffer.getvalue()) // 2])
    (tmp_path / "text.png").write_text("not an image")
    cases = {
        "cut.png": "cannot be read",
        "text.png": "cannot be read",
        "none.png": "no such file",
        save(tmp_path / "moving.gif", frames[0], save_all=True, append_images=frames[1:]).name: "2 frames",
        save(tmp_path / "deep.png", colours()[..., 0].astype(np.uint16) * 256).name: "8 bits",
        save(tmp_path / "through.png", np.dstack([colours(), colours()[..., 0]])).name: "transparent",
        save(tmp_path / "print.tif", Image.fromarray(colours()).convert("CMYK")).name: "CMYK",
    }
    for name, reason in cases.items():
        with pytest.raises(ImageError, match=reason) as caught:
            read_image(tmp_path / name)
        assert name in str(caught.value)


def test_deep_colour_png_is_refused(tmp_path):
    import imagecodecs

    deep = (colours().astype(np.uint16) << 8) | 7
    (tmp_path / "deep.png").write_bytes(imagecodecs.png_encode(deep))
    with pytest.raises(ImageError, match="16 bits"):
        read_image(tmp_path / "deep.png")


def test_size_is_bounded_before_decoding(tmp_path):
    path = save(tmp_path / "wide.png", np.zeros((1000, 10_000, 3), np.uint8))
    with pytest.raises(ImageError, match="10000x1000 is 10 megapixels"):
        read_image(path, max_pixels=1_000_000)
    path = save(tmp_path / "huge.png", Image.new("1", (20_000, 20_000)))
    with pytest.raises(ImageError, match=r"400 megapixels|limit"):
        read_image(path)


def test_builtin_photographs():
    images = dict(ImageSet("builtin"))
    assert list(images) == sorted(BUILTIN)
    assert images["astronaut"].shape == (3, 512, 512)


def test_folder_glob_limit_size_and_crop(tmp_path):
    (tmp_path / "sub").mkdir()
    for name in ("b.png", "a.jpg", "sub/c.png"):
        save(tmp_path / name, colours(40, 60))
    (tmp_path / "notes.txt").write_text("no image")
    assert list(ImageSet(str(tmp_path)).files()) == ["a.jpg", "b.png", "sub/c.png"]
    assert len(ImageSet(str(tmp_path / "*.png")).files()) == 1
    (name, image), *rest = ImageSet(str(tmp_path), limit=1, size=20, crop=16)
    assert (name, image.shape, rest) == ("a.jpg", (3, 16, 16), [])
    assert next(iter(ImageSet(str(tmp_path), size=20)))[1].shape == (3, 20, 30)


def test_bad_sets(tmp_path):
    with pytest.raises(ImageError, match="no images in this folder"):
        ImageSet(str(tmp_path)).files()
    with pytest.raises(ImageError, match="matches no file"):
        ImageSet(str(tmp_path / "*.png")).files()
    with pytest.raises(ImageError, match="no such image or folder"):
        ImageSet(str(tmp_path / "nowhere")).files()
    with pytest.raises(ConfigurationError, match=r"images\.crop is 0"):
        ImageSet(crop=0)
    save(tmp_path / "small.png", colours())
    with pytest.raises(ImageError, match=r"small\.png: 8x6 is smaller than the crop of 16"):
        list(ImageSet(str(tmp_path), crop=16))


def test_one_bad_image_is_skipped_only_when_asked(tmp_path):
    save(tmp_path / "good.png", colours())
    (tmp_path / "bad.png").write_text("no")
    with pytest.raises(ImageError, match=r"bad\.png"):
        list(ImageSet(str(tmp_path)))
    assert [name for name, _ in ImageSet(str(tmp_path), on_error="skip")] == ["good.png"]
