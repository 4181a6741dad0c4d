from collections.abc import Mapping, Sequence

from onnx import ModelProto

from skl2onnx.common.data_types import TensorType

def convert_sklearn(
    model: object,
    name: str | None = None,
    initial_types: Sequence[tuple[str, TensorType]] | None = None,
    *,
    target_opset: Mapping[str, int] | None = None,
    options: Mapping[int, Mapping[str, object]] | None = None,
) -> ModelProto: ...
