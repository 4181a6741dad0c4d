"""Model files that point outside themselves: at nodes, columns or categories they do not have.

The libraries that answer with them follow such a number to wherever it leads. So files are
followed by us first (`xgbfile`, `lgbfile`, `cbmfile`, and the trees of scikit-learn).
"""

from __future__ import annotations

from millwright.core.errors import Refused


class PointsOutside(Refused):
    """A file that nobody's training wrote like this: damaged, or made to do harm."""


def points_outside(library: str, why: str) -> PointsOutside:
    """Return the refusal to answer with a model of `library`, since `why`."""
    return PointsOutside(
        f"the {library} model points outside itself",
        why=f"{why}; answering with it would read memory that is not the model's",
        fix="fetch the package again; if it stays so, the file was made to do harm",
    )
