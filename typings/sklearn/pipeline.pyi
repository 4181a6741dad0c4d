from typing import Any

from sklearn.base import BaseEstimator

class Pipeline(BaseEstimator):
    steps: list[tuple[str, Any]]
    def __getitem__(self, index: int) -> Any: ...

def make_pipeline(*steps: Any) -> Pipeline: ...
