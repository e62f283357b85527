"""The picture of the phases in docs/concepts.md, drawn from the table that the core keeps to.

``python -m tools.phases`` rewrites it; a test fails when it is stale.
"""

from pathlib import Path

from flaggerpy.api.status import Phase
from flaggerpy.rollout.transition import NEXT

PAGE = Path(__file__).resolve().parents[1] / "docs" / "concepts.md"
BEGIN = "<!-- phases: written by python -m tools.phases -->\n"
END = "<!-- /phases -->\n"


def diagram() -> str:
    """Draw the phases as a Mermaid state diagram; what every phase may do is a note."""
    arrows = [
        f"    {phase.value or '[*]'} --> {following.value}"
        for phase in Phase
        for following in Phase
        if following in NEXT[phase]
    ]
    remark = "    note right of Terminating: every phase may become Terminating"
    return "\n".join(["```mermaid", "stateDiagram-v2", *arrows, remark, "```", ""])


def renewed(page: str) -> str:
    """Put the diagram of today into the page."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return before + BEGIN + diagram() + END + after


if __name__ == "__main__":
    PAGE.write_text(renewed(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
