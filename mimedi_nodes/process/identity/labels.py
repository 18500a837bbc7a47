# SPDX-License-Identifier: Apache-2.0
"""Labels of containers: Data Matrix (ISO/IEC 16022) with the text beside it, made and read.

What the code says is `identity.Label.text`; its check character finds what the code's own correction lets through.
"""

from __future__ import annotations

import html
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import zxingcpp

from .identity import IdentityError, Label, check_label, read_label

WIDTH_MM, HEIGHT_MM = 60.0, 25.0
"""Size of a label: fits the lower rim of a 50 mL bag."""
_CODE_MM = 19.0


def code_image(label: Label, scale_px: int = 4) -> npt.NDArray[np.uint8]:
    """Return the code alone, black on white with its quiet zone, (height, width) uint8.

    Args:
        scale_px: pixels a module.
    """
    return np.array(_barcode(label).to_image(scale=scale_px), dtype=np.uint8)


def label_svg(label: Label, lines: Sequence[str] = ()) -> str:
    """Return a label of 60 × 25 mm as SVG: the code, identifier and product in words, and more lines of text.

    Args:
        lines: such as batch, volume and expiry; at most three are shown.
    """
    dark = code_image(label, 1) == 0
    module, top = _CODE_MM / dark.shape[0], (HEIGHT_MM - _CODE_MM) / 2.0
    cells = "".join(
        f'<rect x="{2 + x * module:.3f}" y="{top + y * module:.3f}" width="{width * module + 0.004:.3f}" '
        f'height="{module + 0.004:.3f}"/>'
        for y, row in enumerate(dark)
        for x, width in _runs(row)
    )
    chain = label.chain_of_identity
    # The check character stands apart, as on ISBT 128 labels.
    shown = f"{chain[:5]} {chain[5:7]} {chain[7:13]} {chain[13]}"
    texts = [(6.5, 2.9, "bold", shown), (11.0, 3.4, "bold", label.product.replace("_", " "))]
    texts += [(15.0 + 3.2 * number, 2.3, "normal", line) for number, line in enumerate(lines[:3])]
    words = "".join(
        f'<text x="22.5" y="{y}" font-size="{height}" font-weight="{weight}" '
        f'font-family="DejaVu Sans, sans-serif">{html.escape(text)}</text>'
        for y, height, weight, text in texts
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH_MM}mm" height="{HEIGHT_MM}mm" '
        f'viewBox="0 0 {WIDTH_MM} {HEIGHT_MM}"><rect width="100%" height="100%" fill="white"/>{cells}{words}</svg>'
    )


def label_sheet(labels: Sequence[tuple[Label, Sequence[str]]]) -> str:
    """Return labels as an HTML page to print, three in a row."""
    cells = "".join(f"<div>{label_svg(label, lines)}</div>" for label, lines in labels)
    style = (
        "@page{size:A4;margin:10mm} body{margin:0} "
        "div{display:inline-block;margin:0 2mm 4mm 0;border:.2mm dashed #9ca3af;line-height:0}"
    )
    head = f'<meta charset="utf-8"><title>Labels</title><style>{style}</style>'
    return f'<!doctype html><html lang="en">{head}{cells}</html>'


def read_codes(image: npt.NDArray[np.uint8]) -> list[str]:
    """Return the texts of all Data Matrix and QR codes in an image, (height, width) or (height, width, 3) uint8."""
    formats = zxingcpp.BarcodeFormats([zxingcpp.BarcodeFormat.DataMatrix, zxingcpp.BarcodeFormat.QRCode])
    found = zxingcpp.read_barcodes(np.ascontiguousarray(image), formats=formats)
    return [barcode.text for barcode in found if barcode.valid]


def read_one_label(image: npt.NDArray[np.uint8]) -> Label:
    """Return the one label of ours in an image.

    Raises:
        IdentityError: none is there, it cannot be read, or several are: which one is meant is nobody's guess.
    """
    labels: dict[str, Label] = {}
    for text in read_codes(image):
        label = read_label(text)
        labels[label.text] = label
    if len(labels) != 1:
        said = ", ".join(sorted(labels)) or "none"
        raise IdentityError(f"labels in the picture: {said}; show exactly one, sharp and whole")
    return next(iter(labels.values()))


def scan(image: npt.NDArray[np.uint8], chain_of_identity: str, product: str) -> Label:
    """Return the label in an image when it names the expected person and product; raises IdentityError otherwise."""
    return check_label(read_one_label(image).text, chain_of_identity, product)


def read_picture(path: Path) -> npt.NDArray[np.uint8]:
    """Return the pixels of a picture file; raises IdentityError when it is none."""
    import cv2

    data = np.fromfile(path, dtype=np.uint8) if path.is_file() else np.empty(0, dtype=np.uint8)
    image = cv2.imdecode(data, cv2.IMREAD_GRAYSCALE) if data.size else None
    if image is None:
        raise IdentityError(f"{path}: is no picture that can be read; give a PNG or JPEG")
    return np.asarray(image, dtype=np.uint8)


def _runs(row: npt.NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Return start and length of each run of dark modules."""
    edges = np.flatnonzero(np.diff(np.concatenate(([0], row.astype(np.int8), [0]))))
    return [(int(start), int(end - start)) for start, end in zip(edges[::2], edges[1::2], strict=True)]


def _barcode(label: Label) -> Any:
    # Square: the rectangular sizes have room for one row of finder pattern only, and are read worse.
    return zxingcpp.create_barcode(label.text, zxingcpp.BarcodeFormat.DataMatrix, force_square=True)
