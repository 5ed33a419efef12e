#!/usr/bin/env python3
"""Makes tests/images: small pictures in the formats that ImageNet's files have, and what PIL makes of each in evaluation
(check_pictures.c compares). NAME.rgb holds the pixels, [16][16][3] bytes: the middle of the picture, whose shorter side
was resized to 18 = round(256*16/224), antialiased bilinear. Needs Debian's python3-pil, python3-numpy.

    tools/make-test-images.py tests/images
"""
import pathlib
import struct
import sys
import zlib

import numpy as np
from PIL import Image

SIZE, SIDE = 16, 18


def scene(width, height):
    """Slopes, edges and some noise, in colours."""
    y, x = np.mgrid[0:height, 0:width]
    waves = np.stack([128 + 90 * np.sin(x / 7 + y / 11), 128 + 90 * np.cos(y / 5 - x / 13), 255 * x / width], axis=2)
    waves[height // 3:height // 2, width // 4:width // 2] = (220, 40, 30)
    noise = np.random.default_rng(1).normal(0, 6, waves.shape)
    return Image.fromarray(np.clip(waves + noise, 0, 255).astype(np.uint8))


def save_interlaced(picture, path):
    """An RGB PNG in Adam7's seven passes, which PIL does not write."""
    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    pixels, rows = np.asarray(picture), b""
    for x, y, right, down in ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2),
                              (0, 1, 1, 2)):
        rows += b"".join(b"\0" + row.tobytes() for row in pixels[y::down, x::right])
    header = struct.pack(">IIBBBBB", picture.width, picture.height, 8, 2, 0, 0, 1)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows, 9)) +
                     chunk(b"IEND", b""))


def evaluate(picture):
    """torchvision's Resize(SIDE) and CenterCrop(SIZE)."""
    picture = picture.convert("RGB")
    width, height = picture.size
    shorter = min(width, height)
    picture = picture.resize((int(SIDE * width / shorter), int(SIDE * height / shorter)), Image.BILINEAR)
    left, top = (int(round((extent - SIZE) / 2)) for extent in picture.size)
    return np.asarray(picture.crop((left, top, left + SIZE, top + SIZE)))


def main():
    folder = pathlib.Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    picture = scene(83, 61)
    for sampling, name in enumerate(("444", "422", "420")):
        picture.save(folder / f"rgb{name}.jpg", quality=88, subsampling=sampling)
    picture.save(folder / "progressive.jpg", quality=88, progressive=True)
    picture.convert("L").save(folder / "grey.jpg", quality=88)
    picture.convert("CMYK").save(folder / "cmyk.jpg", quality=88)
    scene(30, 21).save(folder / "png-inside.JPEG", format="PNG", optimize=True)
    scene(31, 47).quantize(16).save(folder / "palette.png", optimize=True)
    scene(40, 23).convert("LA").save(folder / "alpha.png", optimize=True)
    scene(40, 23).convert("1").save(folder / "bits.png", optimize=True)
    scene(300, 11).save(folder / "wide.jpg", quality=88)
    scene(9, 200).save(folder / "tall.jpg", quality=88)
    scene(1, 1).save(folder / "one.jpg", quality=88)
    save_interlaced(scene(33, 27), folder / "interlaced.png")
    for path in sorted(folder.iterdir()):
        if path.suffix != ".rgb":
            path.with_suffix(".rgb").write_bytes(evaluate(Image.open(path)).tobytes())


main()
