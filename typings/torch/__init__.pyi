from contextlib import AbstractContextManager
from typing import Any

import numpy as np
import numpy.typing as npt

from torch import export as export
from torch import nn as nn

__version__: str

class Tensor:
    def numpy(self) -> npt.NDArray[np.generic]: ...

def zeros(size: tuple[int, ...]) -> Tensor: ...
def from_numpy(array: npt.NDArray[Any]) -> Tensor: ...
def inference_mode() -> AbstractContextManager[None]: ...
