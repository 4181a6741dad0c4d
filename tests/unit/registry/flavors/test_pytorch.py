"""Run where PyTorch is installed: `make interop` does, in an environment of its own."""

from __future__ import annotations

import io
import pickle
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pytest

from fixtures.boosters import numbers
from millwright.core.errors import MillwrightError, Refused, Unsupported
from millwright.registry.flavor import load_flavor
from millwright.registry.package import load_package, write_package
from millwright.registry.signature import infer_signature
from millwright.testing.flavors import Sample, TrainedFlavorSuite

if TYPE_CHECKING:
    import torch

    from millwright.registry.flavors.pytorch import PytorchFlavor
else:
    torch = pytest.importorskip("torch")

    def PytorchFlavor() -> object:
        return load_flavor("pytorch")


nn: Any = torch.nn


class Net(torch.nn.Module):
    """A small network of one number a row."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        generator: Any = torch
        generator.manual_seed(seed)
        self.layers: Any = nn.Sequential(nn.Linear(7, 8), nn.ReLU(), nn.Linear(8, 1))

    def forward(self, rows: Any) -> Any:
        """Return one number a row."""
        return self.layers(rows)


class Classifier(Net):
    """Labels and the probability of each."""

    def forward(self, rows: Any) -> Any:
        """Return labels and probabilities."""
        score: Any = nn.functional.sigmoid(self.layers(rows))
        functions: Any = torch
        return (score[:, 0] > 0.5).long(), functions.cat([1 - score, score], dim=1)


class TestPytorchFlavor(TrainedFlavorSuite):
    @pytest.fixture
    def flavor(self) -> PytorchFlavor:
        return PytorchFlavor()

    @pytest.fixture
    def sample(self, flavor: PytorchFlavor) -> Sample:
        answers = flavor.ask(Net(), numbers(), None)
        return Sample(Net(), infer_signature(numbers(), answers), [], numbers())


def test_a_network_is_packaged_and_the_same_weights_are_the_same_model(tmp_path: Path) -> None:
    digests: list[str] = []
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        (tmp_path / name).mkdir()
        written = write_package(Net(seed), example=numbers(), folder=tmp_path / name, now_us=0)
        digests.append(written.digest)
        assert written.flavors == ["pytorch"]
    assert digests[0] == digests[1] != digests[2]
    for n in (1, 2, 300):
        assert load_package(tmp_path / "a").predict(numbers(n))["prediction"].shape == (n,)


def test_labels_with_probabilities_are_a_classifiers(tmp_path: Path) -> None:
    write_package(Classifier(), example=numbers(), folder=tmp_path, now_us=0)
    answers = load_package(tmp_path).predict(numbers())
    assert sorted(answers) == ["prediction", "probability"]
    found = answers["probability"].astype(np.float64)
    assert answers["prediction"].tolist() == (found > 0.5).astype(int).tolist()


def test_nothing_of_the_machine_is_in_the_file(tmp_path: Path) -> None:
    write_package(Net(), example=numbers(), folder=tmp_path, now_us=0)
    data = (tmp_path / "data" / "model.pt2").read_bytes()
    assert b".py" not in data
    assert b"stack_trace" not in data


class TestRefusals:
    def test_what_cannot_be_exported_says_why(self, tmp_path: Path) -> None:
        class Odd(Net):
            """Takes another way for other rows."""

            def forward(self, rows: Any) -> Any:
                """Return rows, or their negative."""
                return rows[:, 0] if rows.sum() > 0 else -rows[:, 0]

        with pytest.raises(Unsupported, match="a Odd cannot be exported"):
            write_package(Odd(), example=numbers(), folder=tmp_path, now_us=0)

    def test_several_values_a_row(self, tmp_path: Path) -> None:
        with pytest.raises(Unsupported, match="4 values a row"):
            write_package(nn.Linear(7, 4), example=numbers(), folder=tmp_path, now_us=0)

    def test_a_file_that_would_run_code_is_refused_and_does_not(self, tmp_path: Path) -> None:
        (tmp_path / "model").mkdir()
        write_package(Net(), example=numbers(), folder=tmp_path / "model", now_us=0)
        path = tmp_path / "model" / "data" / "model.pt2"
        flavor = PytorchFlavor()
        signature = infer_signature(numbers(), {"prediction": np.zeros(1)})
        evidence = tmp_path / "evidence"

        class Evil:
            def __reduce__(self) -> tuple[object, ...]:
                return (Path.touch, (evidence,))

        code = f"__import__('pathlib').Path('{evidence}').touch()"
        for changes in (
            {"models/model.json": (b'"torch.ops.aten.relu.default"', b'"torch.hub.load"')},
            {"models/model.json": (b'"expr_str":"', b'"expr_str":"' + code.encode() + b"+")},
            {
                "data/weights/model_weights_config.json": (
                    b'"use_pickle":false',
                    b'"use_pickle":true',
                )
            },
        ):
            whole = path.read_bytes()
            path.write_bytes(changed(whole, changes))
            with pytest.raises(Refused, match="more than plain operations"):
                flavor.load(path.parent.parent, signature=signature, section={})
            path.write_bytes(whole)
        # A pickle among its sample inputs is not even read.
        path.write_bytes(
            changed(path.read_bytes(), {"data/sample_inputs/model.pt": pickle.dumps(Evil())})
        )
        flavor.load(path.parent.parent, signature=signature, section={})
        assert not evidence.exists()

    def test_what_is_no_program_is_told(self, tmp_path: Path) -> None:
        (tmp_path / "data").mkdir()
        (tmp_path / "data" / "model.pt2").write_bytes(pickle.dumps([1]))
        signature = infer_signature(numbers(), {"prediction": np.zeros(1)})
        with pytest.raises(MillwrightError, match="not a whole exported program"):
            PytorchFlavor().load(tmp_path, signature=signature, section={})


def changed(data: bytes, changes: dict[str, Any]) -> bytes:
    """Return the archive with members replaced, or words in them."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as archive, zipfile.ZipFile(out, "w") as copy:
        for name in archive.namelist():
            content = archive.read(name)
            change = changes.get(name.partition("/")[2])
            if isinstance(change, tuple):
                old, new = cast("tuple[bytes, bytes]", change)
                assert old in content
                content = content.replace(old, new, 1)
            elif change is not None:
                content = change
            copy.writestr(name, content)
    return out.getvalue()
