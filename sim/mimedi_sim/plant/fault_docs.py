# SPDX-License-Identifier: Apache-2.0
"""docs/faults.md from the catalogue: `python -m mimedi_sim.plant.fault_docs > docs/faults.md`."""

from __future__ import annotations

import sys
from collections.abc import Mapping

from mimedi_sim.plant.fault_catalogue import GROUPS
from mimedi_sim.plant.faults import FaultKind, Parameter

HEAD = """# Faults of the twin

Made from `sim/mimedi_sim/plant/fault_catalogue.py` (`python -m mimedi_sim.plant.fault_docs > docs/faults.md`); tests
hold every line to its word. A fault acts on the plant; drivers and phases see only its signature on the wire or in the
image.

```
./workcell sim faults                                             what can be put in, and what is in now
./workcell sim inject leak culture_vessel volume_ul=5000          put a fault into the running workcell
./workcell sim clear leak culture_vessel                          take it away
./workcell simulate car_t_cd19 --scenario hidden_leak             a course of faults, by name or FILE.yaml
```

A scenario file names its faults with times from the start, in hours; same seed, same course:
```yaml
scenario: hidden_leak
description: one sentence
events:
  - {at_h: 60.0, fault: leak, target: culture_vessel, parameters: {volume_ul: 5000.0}, until_h: 61.0}
```
An unknown fault, target or value is refused with what is allowed. One-shot faults (*once*) cannot be taken away.
"""


def table(kinds: Mapping[str, FaultKind]) -> list[str]:
    """Return the lines of one table."""
    heads = ("fault", "on", "parameters", "in the plant", "how it shows", "what the workcell does")
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for name, kind in kinds.items():
        parameters = "; ".join(f"`{key}` {_default(p)} ({p.allowed})" for key, p in kind.parameters.items()) or "–"
        once = ", *once*" if kind.once else ""
        cells = (f"`{name}`", f"{kind.acts_on}{once}", parameters, kind.effect, kind.signature, kind.answer)
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def _default(parameter: Parameter) -> str:
    value = parameter.default
    if value is None:
        return "required"
    return f"{value:g}" if isinstance(value, float) else value


def document() -> str:
    """Return the whole document."""
    lines = [HEAD]
    for title, kinds in GROUPS.items():
        lines += [f"## {title}", "", *table(kinds), ""]
    return "\n".join(lines).rstrip() + "\n"


if __name__ == "__main__":
    sys.stdout.write(document())
