from __future__ import annotations

import pickle

from millwright.core.errors import Refused
from millwright.registry.outside import PointsOutside, points_outside


def test_the_refusal_names_library_and_reason_also_in_another_process() -> None:
    error = points_outside("LightGBM", "tree 3 leads to a node that it does not have")
    assert isinstance(error, Refused)
    assert error.what == "the LightGBM model points outside itself"
    assert error.why.startswith("tree 3 leads to a node that it does not have; answering")
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), str(again)) == (PointsOutside, str(error))
