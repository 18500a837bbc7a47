# SPDX-License-Identifier: Apache-2.0
"""`workcell label`: identifiers and labels of containers, made and read."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..modules.registry import manifests
from ..process.errors import WorkcellError
from ..process.identity.identity import check_label, make_identifier, make_label, read_label
from ..process.identity.labels import code_image, label_sheet, label_svg, read_one_label, read_picture
from ..process.recipes.loader import load_recipe
from ..process.recipes.steps import PromptStep
from ..records.errors import RecordError
from ..records.report.pdf import render_pdf
from .parts.batch_options import recipe_path
from .parts.teaching import teach

EXAMPLES = """\
examples:
  ./workcell label identifier F1234 26 17                 the chain of identity, with its check character
  ./workcell label make F123426000001J dose_bag --line "use by 2026-12-04" --out bag.svg
  ./workcell label sheet car_t_cd19 F123426000001J --out labels.pdf
                                                          every label that the recipe scans
  ./workcell label sheet icasp9_dcd19 F123426000001J --donor F123426000002F
  ./workcell label read photo.png --expect =F123426000001J/dose_bag

Identifiers are built like ISBT 128 donation numbers; labels carry a Data Matrix.
exit status: 0 done or as expected, 1 refused or not as expected, 2 could not run
"""


def main(argv: Sequence[str]) -> int:
    """Make or read labels; see the module's text."""
    parser = argparse.ArgumentParser(
        prog="workcell label",
        description="Identifiers and labels of containers.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    acts = parser.add_subparsers(dest="act", required=True, metavar="identifier|make|sheet|read")
    identifier = acts.add_parser("identifier", help="make a chain of identity")
    identifier.add_argument("facility", help="five characters, such as F1234")
    identifier.add_argument("year", type=int, help="nominal year, 0 to 99")
    identifier.add_argument("serial", type=int, help="serial number, 0 to 999999")
    make = acts.add_parser("make", help="make one label")
    make.add_argument("chain", help="chain of identity")
    make.add_argument("product", help="what the container holds, such as dose_bag")
    make.add_argument("--line", action="append", default=[], help="a line of text below, at most three")
    make.add_argument("--out", type=Path, default=Path("label.svg"), help=".svg, .pdf, or .png for the code alone")
    sheet = acts.add_parser("sheet", help="make every label that a recipe scans")
    sheet.add_argument("recipe")
    sheet.add_argument("patient", help="chain of identity of the recipient")
    sheet.add_argument("--donor", help="chain of identity of the donor (default: the recipient)")
    sheet.add_argument("--batch-id", default="", help="batch, printed on the labels")
    sheet.add_argument("--out", type=Path, default=Path("labels.pdf"), help="file: .pdf or .html")
    read = acts.add_parser("read", help="read the label in a picture")
    read.add_argument("picture", type=Path)
    read.add_argument("--expect", help="what it must say, such as =F123426000001J/dose_bag")
    for act in acts.choices.values():
        act.add_argument("--json", action="store_true", help="print as JSON")
    teach(parser)
    options = parser.parse_args(list(argv))
    try:
        text, found = _act(options)
        print(json.dumps(found, ensure_ascii=False) if options.json else text)
    except WorkcellError as error:
        print(f"workcell label: {error}", file=sys.stderr)
        return 1
    except (RecordError, OSError) as error:
        print(f"workcell label: {error}", file=sys.stderr)
        return 2
    return 0


def _act(options: argparse.Namespace) -> tuple[str, dict[str, Any]]:
    """Do it; return what it says to people, and to programs."""
    if options.act == "identifier":
        chain = make_identifier(options.facility, options.year, options.serial)
        return chain, {"chain_of_identity": chain}
    if options.act == "make":
        label = make_label(options.chain, options.product)
        svg = label_svg(label, options.line)
        if options.out.suffix == ".png":
            import cv2

            cv2.imwrite(str(options.out), code_image(label, 8))
        elif options.out.suffix == ".pdf":
            options.out.write_bytes(render_pdf(f'<style>@page{{size:60mm 25mm;margin:0}}body{{margin:0}}</style>{svg}'))
        else:
            options.out.write_text(svg, encoding="utf-8")
        return f"{label.text} → {options.out}", {"label": label.text, "file": str(options.out)}
    if options.act == "sheet":
        return _sheet(options)
    label = read_one_label(read_picture(options.picture))
    if options.expect:
        expected = read_label(options.expect)
        check_label(label.text, expected.chain_of_identity, expected.product)
    found = {"label": label.text, "chain_of_identity": label.chain_of_identity, "product": label.product}
    return label.text, found


def _sheet(options: argparse.Namespace) -> tuple[str, dict[str, Any]]:
    recipe = load_recipe(recipe_path(options.recipe), manifests())
    people = {"patient": options.patient, "donor": options.donor or options.patient}
    labels = {}
    for step in recipe.steps():
        if isinstance(step, PromptStep) and step.identity is not None:
            whose = "donor" if "donor" in step.identity.chain_of_identity else "patient"
            label = make_label(people[whose], step.identity.product)
            lines = [f"batch {options.batch_id}"] if options.batch_id else []
            labels[label.text] = (label, [*lines, f"{recipe.product}, of the {whose}"])
    html = label_sheet(list(labels.values()))
    if options.out.suffix == ".html":
        options.out.write_text(html, encoding="utf-8")
    else:
        options.out.write_bytes(render_pdf(html))
    return f"{len(labels)} labels → {options.out}", {"labels": list(labels), "file": str(options.out)}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
