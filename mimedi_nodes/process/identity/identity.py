# SPDX-License-Identifier: Apache-2.0
"""Chain of identity: identifiers with a check character, labels of containers, and what a scan must say.

An identifier is built like an ISBT 128 donation identification number: five characters for the facility (the
first a letter or 1-9), two digits for the year, six digits of a serial number, and an ISO 7064 modulus 37-2 check
character. ISBT 128 ST-028 gives one such identifier, allocated at or before the first collection, to all
material of one therapy.

Source of the check: ISBT 128 donation number check character, ISO 7064 mod 37,2 (JPAC Red Book, annex 2).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from ..errors import WorkcellError

_CHARACTERS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ*"
_IDENTIFIER = re.compile(
    r"(?P<facility>[A-NP-Z1-9][A-NP-Z0-9][0-9]{3})(?P<year>[0-9]{2})(?P<serial>[0-9]{6})"
)
_LABEL = re.compile(r"=(?P<chain>[A-Z0-9]{13}[0-9A-Z*])/(?P<product>[a-z][a-z0-9_]*)")


class IdentityError(WorkcellError):
    """An identifier or label is malformed, or belongs to somebody or something else."""


def check_character(identifier: str) -> str:
    """Return the ISO 7064 mod 37-2 check character of letters and digits; raises IdentityError for others.

    Source: JPAC Red Book, annex 2: G123498654321 has H.
    """
    total = 0
    for character in identifier:
        value = _CHARACTERS.find(character)
        if not 0 <= value < 36:
            raise IdentityError(f"identifier {identifier!r}: {character!r} is no capital letter or digit")
        total = (total + value) * 2 % 37
    return _CHARACTERS[(38 - total) % 37]


def make_identifier(facility: str, year: int, serial: int) -> str:
    """Return a chain of identity with its check character.

    Args:
        facility: five characters.
        year: nominal year, 0 to 99.
        serial: 0 to 999999.

    Raises:
        IdentityError: a part does not fit.
    """
    body = f"{facility}{year:02d}{serial:06d}"
    if not _IDENTIFIER.fullmatch(body):
        raise IdentityError(
            f"identifier {body!r}: needs a facility such as F1234, a year of two digits and a serial of six"
        )
    return body + check_character(body)


def check_identifier(identifier: str) -> str:
    """Return a chain of identity that is well-formed; raises IdentityError with what is wrong."""
    body, check = identifier[:-1], identifier[-1:]
    if not _IDENTIFIER.fullmatch(body):
        raise IdentityError(
            f"identifier {identifier!r} is none: five characters of the facility, two of the year, "
            "six of a serial number and a check character, for example F123426000001"
            f"{check_character('F123426000001')}"
        )
    expected = check_character(body)
    if check != expected:
        raise IdentityError(
            f"identifier {identifier!r} was misread: its check character should be {expected!r}"
        )
    return identifier


@dataclass(frozen=True)
class Label:
    """What a container's label says: whose material, and what it is."""

    chain_of_identity: str
    product: str

    @property
    def text(self) -> str:
        """The text in the label's code."""
        return f"={self.chain_of_identity}/{self.product}"


def make_label(chain_of_identity: str, product: str) -> Label:
    """Return the label of a container; raises IdentityError for a malformed identifier or product."""
    label = Label(check_identifier(chain_of_identity), product)
    if not _LABEL.fullmatch(label.text):
        raise IdentityError(f"product {product!r} of a label: small letters, digits and _, a letter first")
    return label


def read_label(text: str) -> Label:
    """Return what a scanned text says; raises IdentityError when it is no label of ours or was misread."""
    match = _LABEL.fullmatch(text.strip())
    if match is None:
        raise IdentityError(f"label {text!r} cannot be read: it should be =<chain of identity>/<product>")
    return Label(check_identifier(match["chain"]), match["product"])


def check_label(text: str, chain_of_identity: str, product: str) -> Label:
    """Return the label when it names the expected person and product; raises IdentityError with both otherwise."""
    label = read_label(text)
    if label.chain_of_identity != chain_of_identity:
        raise IdentityError(
            f"wrong patient: the label says {label.chain_of_identity}, this batch is for {chain_of_identity}"
        )
    if label.product != product:
        raise IdentityError(f"wrong container: the label says {label.product!r}, expected {product!r}")
    return label
