# SPDX-License-Identifier: Apache-2.0
"""Reads a product's specification file, the content of `config/products/<product>.yaml`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ruamel.yaml.error import YAMLError

from .errors import RecordError
from .yaml_text import load

_PRODUCT = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}\Z")


def product_file(products_folder: Path, product: str) -> Path:
    """Return where the specification of a product lies; the name comes from a record and is checked.

    Raises:
        RecordError: the name is none that a product file can have.
    """
    if not _PRODUCT.match(product):
        raise RecordError(f"product {product!r} is no name of a product; the batch's start names it, like car_t_cd19")
    return products_folder / f"{product}.yaml"


def read_specification(path: Path) -> Mapping[str, Any]:
    """Return the content of a specification file.

    Raises:
        RecordError: there is none, or it cannot be read.
    """
    try:
        content = load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise RecordError(
            f"{path}: {getattr(error, 'strerror', error)}; name the product's file with --specification, "
            "or its folder with the recorder's products_dir"
        ) from error
    except YAMLError as error:
        raise RecordError(f"{path}: {error}; mend the file") from error
    if not isinstance(content, dict) or not isinstance(content.get("tests"), list):
        raise RecordError(f"{path}: has no list of tests; give a product file like config/products/car_t_cd19.yaml")
    return content
