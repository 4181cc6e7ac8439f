import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from semcomm.errors import ConfigurationError, ImageError
from semcomm.images import (
    BUILTIN,
    ImageSet,
    check_images,
    content_hash,
    from_bytes,
    quantise,
    read_image,
    to_bytes,
    write_image,
)


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
    with pytest.raises(ImageError, match="matches no image file"):
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


def deep(bits, *shape):
    return np.random.default_rng(0).integers(0, 2**bits, shape or (16, 16, 3), dtype=np.uint16)


def tiff16(pixels):
    import tifffile

    buffer = io.BytesIO()
    tifffile.imwrite(buffer, pixels, photometric="rgb")
    return buffer.getvalue()


def netpbm(kind, maximum, pixels):
    return f"{kind}\n16 16\n{maximum}\n".encode() + pixels.astype(">u2").tobytes()


def jpeg2000(bits, container):
    import imagecodecs

    return imagecodecs.jpeg2k_encode(deep(bits), codecformat=container, bitspersample=bits, reversible=True)


def avif(bits):
    import imagecodecs

    pixels = deep(bits) if bits > 8 else deep(bits).astype(np.uint8)
    return imagecodecs.avif_encode(pixels, bitspersample=bits)


@pytest.mark.parametrize(
    ("name", "bits", "made"),
    [
        ("a.tif", 16, lambda: tiff16(deep(16))),
        ("a.ppm", 16, lambda: netpbm("P6", 65535, deep(16))),
        ("b.ppm", 10, lambda: netpbm("P6", 1023, deep(10))),
        ("a.pgm", 16, lambda: netpbm("P5", 65535, deep(16, 16, 16))),
        ("a.jp2", 16, lambda: jpeg2000(16, "jp2")),
        ("b.jp2", 12, lambda: jpeg2000(12, "jp2")),
        ("a.j2k", 12, lambda: jpeg2000(12, "j2k")),
        ("a.avif", 10, lambda: avif(10)),
        ("b.avif", 12, lambda: avif(12)),
        ("a.pfm", 32, lambda: b"Pf\n16 16\n-1.0\n" + np.zeros((16, 16), "<f4").tobytes()),
    ],
)
def test_images_deeper_than_8_bits_are_refused(tmp_path, name, bits, made):
    (tmp_path / name).write_bytes(made())
    with pytest.raises(ImageError, match=rf"{name}: has {bits} bits a channel, more than 8 bits; convert it"):
        read_image(tmp_path / name)


def test_8_bits_in_the_same_formats_are_read(tmp_path):
    for name in ("a.tif", "a.ppm", "a.bmp", "a.jp2", "a.webp", "a.avif", "a.gif", "a.jfif"):
        save(tmp_path / name, colours())
        assert read_image(tmp_path / name).shape == (3, 6, 8), name
    (tmp_path / "dark.ppm").write_bytes(b"P6\n2 1\n127\n" + bytes([0, 127, 0, 127, 0, 0]))
    assert read_image(tmp_path / "dark.ppm").amax() == 1


def test_the_first_frame_of_a_phones_jpeg_is_the_photograph(tmp_path):
    photograph, preview = Image.fromarray(colours(32, 48)), Image.fromarray(colours())
    photograph.save(tmp_path / "phone.jpg", format="MPO", save_all=True, append_images=[preview])
    photograph.save(tmp_path / "plain.jpg")
    assert torch.equal(read_image(tmp_path / "phone.jpg"), read_image(tmp_path / "plain.jpg"))


@pytest.fixture
def littered(tmp_path):
    """A folder of three images, as a Mac, a NAS, a notebook and a phone leave it."""
    root = tmp_path / "photographs"
    for name in (
        *("a.png", "sub/b.JPG", "c.jfif", "._a.png", ".hidden/x.png", ".ipynb_checkpoints/a-checkpoint.png"),
        *("__MACOSX/a.png", "@eaDir/a.png/SYNOPHOTO_THUMB.png", "$RECYCLE.BIN/a.png", "run/reconstructions/x.png"),
    ):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(colours()).save(root / name, format="PNG")
    for name in ("Thumbs.db", "run/results.sqlite", "d.heic", "e.jxl", "f.jxl", "notes.txt", "LICENCE"):
        (root / name).write_text("x")
    return root


def test_hidden_and_system_files_and_runs_are_no_images(littered):
    said = []
    assert list(ImageSet(str(littered)).files(said.append)) == ["a.png", "c.jfif", "sub/b.JPG"]
    assert said == [
        f"{littered}: ignored 1 folders of runs, 7 hidden or of the system, 1 of .heic, 2 of .jxl, 1 of .txt, "
        "1 without a suffix"
    ]


def test_a_pattern_leaves_out_what_a_folder_does(littered):
    said = []
    found = ImageSet(str(littered / "**" / "*")).files(said.append)
    assert [Path(name).name for name in found] == ["a.png", "c.jfif", "b.JPG"]
    assert "in folders of runs" in said[0]
    assert "1 of .heic" in said[0]
    assert len(ImageSet(str(littered / ".hidden" / "*.png")).files()) == 1  # asked for in words
    assert len(ImageSet(str(littered / "run" / "reconstructions")).files()) == 1
    with pytest.raises(ImageError, match="is the folder of a run"):
        ImageSet(str(littered / "run")).files()


def test_links_are_followed_but_not_in_circles(tmp_path):
    inside, outside = tmp_path / "in", tmp_path / "out"
    for folder in (inside, outside):
        folder.mkdir()
        save(folder / "a.png", colours())
    (inside / "far").symlink_to(outside, target_is_directory=True)
    (inside / "near.png").symlink_to(outside / "a.png")
    (inside / "gone.png").symlink_to(outside / "gone.png")
    (inside / "round").symlink_to(inside, target_is_directory=True)
    said = []
    assert list(ImageSet(str(inside)).files(said.append)) == ["a.png", "far/a.png", "near.png"]
    assert said == [f"{inside}: ignored 1 links to a folder above, 1 links to nothing"]


def test_every_suffix_that_can_be_read_is_found(tmp_path):
    for suffix in (".png", ".jfif", ".jpe", ".gif", ".webp", ".bmp", ".dib", ".tiff", ".pnm", ".j2k", ".avif", ".mpo"):
        (tmp_path / f"a{suffix}").write_bytes(b"")
    assert len(ImageSet(str(tmp_path)).files()) == 12


def test_a_data_set_that_is_not_whole_is_said(tmp_path, monkeypatch):
    monkeypatch.setenv("SEMCOMM_DATA", str(tmp_path))
    monkeypatch.chdir(tmp_path / "..")
    (tmp_path / "kodak").mkdir()
    for name in ("kodim01.png", "kodim02.png", "._kodim01.png"):
        save(tmp_path / "kodak" / name, colours())
    said = []
    assert list(ImageSet("kodak").files(said.append)) == ["kodim01.png", "kodim02.png"]
    assert said == ["kodak: 2 images are here, of 24"]
    with pytest.raises(ImageError, match="did you mean kodak"):
        ImageSet("Kodak").files()


def test_only_png_is_written(tmp_path):
    image = from_bytes(colours())
    with pytest.raises(ImageError, match=r"a\.jpg: images are written as PNG.*a\.png"):
        write_image(tmp_path / "a.jpg", image)
    with pytest.raises(ImageError, match="cannot be written"):
        write_image(tmp_path / "none" / "a.png", image)
    with pytest.raises(ImageError, match="from 0 to 255, not in"):
        write_image(tmp_path / "a.png", torch.linspace(0, 255, 48).reshape(3, 4, 4))


IMAGE = torch.linspace(0, 1, 2 * 3 * 8 * 8).reshape(2, 3, 8, 8)


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (IMAGE.numpy(), "numpy array.*torch.from_numpy"),
        ((IMAGE * 255).to(torch.uint8), r"uint8 \[2, 3, 8, 8\].*images\.float\(\) / 255"),
        (IMAGE * 255, r"from 0 to 255, not in \[0, 1\]; images / 255"),
        (IMAGE * 2 - 1, r"from -1 to 1, not in \[0, 1\]; \(images \+ 1\) / 2"),
        (IMAGE[0], r"images\[None\]"),
        (IMAGE.permute(0, 2, 3, 1), r"permute\(0, 3, 1, 2\)"),
        (IMAGE[:, :1], r"expand\(-1, 3, -1, -1\)"),
        (IMAGE[:0], "holds no image"),
        (IMAGE[:, :, :0], "holds no image"),
        (IMAGE.clone().fill_(float("nan")), "no finite numbers"),
        ("photo.png", "a str, not a tensor"),
        ([IMAGE[0]], "a list, not a tensor"),
        (IMAGE[None], r"\[1, 2, 3, 8, 8\], not \[B, 3, H, W\]"),
        (IMAGE + 0.1, r"images\.clamp\(0, 1\)"),
    ],
)
def test_what_are_no_images_is_said_with_the_way_out(given, reason):
    with pytest.raises(ImageError, match=f"it: got .*{reason}"):
        check_images(given, "it")


def test_what_are_images_passes():
    for images in (IMAGE, IMAGE.double(), IMAGE.half(), IMAGE + 1e-3, IMAGE[:1], IMAGE.requires_grad_()):
        check_images(images, "it")
