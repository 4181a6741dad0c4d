from typing import overload

import numpy as np
import numpy.typing as npt

class Bunch:
    data: npt.NDArray[np.float64]
    target: npt.NDArray[np.int64]
    feature_names: npt.NDArray[np.str_]
    target_names: npt.NDArray[np.str_]

@overload
def load_breast_cancer() -> Bunch: ...
@overload
def load_breast_cancer(
    *, return_X_y: bool
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]: ...
def load_iris(
    *, return_X_y: bool = ...
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]: ...
def load_diabetes(
    *, return_X_y: bool = ...
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]: ...
