"""What every model flavour must do.

A flavour's own test says how to make one and what it is to write, and inherits the rest:

    class TestSklearnFlavor(FlavorSuite):
        @pytest.fixture
        def flavor(self) -> SklearnFlavor:
            return SklearnFlavor()

        @pytest.fixture
        def sample(self) -> Sample:
            return Sample(model, signature, classes, rows)

A format that knows its models in memory as well inherits `TrainedFlavorSuite`.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from millwright.core.errors import Corrupt, MillwrightError
from millwright.records.schema import Signature
from millwright.registry.flavor import Flavor, Labelled, Predictor, TrainedFlavor
from millwright.registry.signature import Columns, Label, row_count


@dataclass(frozen=True, slots=True)
class Sample:
    """A fitted model a flavour can write, and rows it answers."""

    model: object
    signature: Signature
    classes: Sequence[Label]
    rows: Columns


class FlavorSuite:
    """The behaviour of the port; a subclass has the fixtures `flavor` and `sample`."""

    def test_knows_its_models(self, flavor: Flavor, sample: Sample) -> None:
        """It handles the sample, and nothing that is no model."""
        assert flavor.handles(sample.model)
        assert not flavor.handles({"a": 1})
        assert not flavor.handles(None)

    def test_says_what_it_wrote(self, flavor: Flavor, sample: Sample, tmp_path: Path) -> None:
        """All files it wrote are weights, and it needs at least one distribution."""
        dumped = flavor.dump(
            sample.model, signature=sample.signature, classes=sample.classes, folder=tmp_path
        )
        assert sorted(dumped.weights) == sorted(_files(tmp_path))
        assert dumped.weights
        assert dumped.distributions

    def test_writes_the_same_bytes_each_time(
        self, flavor: Flavor, sample: Sample, tmp_path: Path
    ) -> None:
        """Also for a copy, whose parts lie elsewhere in memory."""
        found: list[dict[str, bytes]] = []
        for name, model in (("a", sample.model), ("b", copy.deepcopy(sample.model))):
            folder = tmp_path / name
            folder.mkdir()
            flavor.dump(model, signature=sample.signature, classes=sample.classes, folder=folder)
            found.append({name: (folder / name).read_bytes() for name in _files(folder)})
        assert found[0] == found[1]

    def test_answers_what_the_signature_says(
        self, flavor: Flavor, sample: Sample, tmp_path: Path
    ) -> None:
        """Each output by its name, with as many values as there are rows."""
        answers = _round_trip(flavor, sample, tmp_path).predict(sample.rows)
        assert sorted(answers) == sorted(column.name for column in sample.signature.outputs)
        n = row_count(sample.rows)
        assert {len(values) for values in answers.values()} == {n}

    def test_a_row_alone_is_answered_as_among_others(
        self, flavor: Flavor, sample: Sample, tmp_path: Path
    ) -> None:
        """The same labels, and the same numbers but for the order of a sum."""
        predictor = _round_trip(flavor, sample, tmp_path)
        together = predictor.predict(sample.rows)
        for index in range(min(5, row_count(sample.rows))):
            row = {name: values[index : index + 1] for name, values in sample.rows.items()}
            for name, values in predictor.predict(row).items():
                expected = together[name][index : index + 1]
                if expected.dtype.kind == "f":
                    np.testing.assert_allclose(
                        values.astype(np.float64), expected.astype(np.float64), atol=1e-6
                    )
                else:
                    assert values.tolist() == expected.tolist()

    def test_the_same_rows_get_the_same_answers_from_any_thread(
        self, flavor: Flavor, sample: Sample, tmp_path: Path
    ) -> None:
        """Bit for bit."""
        predictor = _round_trip(flavor, sample, tmp_path)
        first = {name: values.tobytes() for name, values in _plain(predictor, sample).items()}
        with ThreadPoolExecutor(4) as pool:
            waiting = [pool.submit(_plain, predictor, sample) for _ in range(8)]
        for answer in [future.result() for future in waiting]:
            assert {name: values.tobytes() for name, values in answer.items()} == first

    def test_a_damaged_file_is_refused(
        self, flavor: Flavor, sample: Sample, tmp_path: Path
    ) -> None:
        """Cut short or empty, with an error of ours, and never loaded."""
        dumped = flavor.dump(
            sample.model, signature=sample.signature, classes=sample.classes, folder=tmp_path
        )
        path = tmp_path / dumped.weights[0]
        whole = path.read_bytes()
        for broken in (whole[: len(whole) // 2], b""):
            path.write_bytes(broken)
            with pytest.raises(MillwrightError):
                flavor.load(tmp_path, signature=sample.signature, section=dumped.section)
        path.unlink()
        with pytest.raises(MillwrightError, match=path.name):
            flavor.load(tmp_path, signature=sample.signature, section=dumped.section)


class TrainedFlavorSuite(FlavorSuite):
    """What a format adds that a library keeps its own models in."""

    def test_knows_a_model_in_memory(self, flavor: TrainedFlavor, sample: Sample) -> None:
        """Its columns, when it names any, their count, and a classifier's labels."""
        known = flavor.know(sample.model)
        assert known.names in {(), tuple(sample.rows)}
        assert known.width in {None, len(sample.rows)}
        assert list(known.classes) == list(sample.classes)

    def test_its_file_answers_as_the_model_in_memory(
        self, flavor: TrainedFlavor, sample: Sample, tmp_path: Path
    ) -> None:
        """Within the tolerance the flavour states, labels exactly."""
        expected = flavor.ask(sample.model, sample.rows, None)
        loaded = _round_trip(flavor, sample, tmp_path)
        answers = loaded.predict(sample.rows)
        assert sorted(answers) == sorted(expected)
        for name, values in expected.items():
            if values.dtype.kind == "f":
                tolerance = flavor.know(sample.model).tolerance
                np.testing.assert_allclose(
                    answers[name].astype(np.float64), values.astype(np.float64), atol=tolerance
                )
            else:
                assert answers[name].tolist() == values.tolist()
        if sample.classes:
            assert isinstance(loaded, Labelled)
            assert list(loaded.classes) == list(sample.classes)

    def test_a_file_may_lie_under_another_name_but_not_outside(
        self, flavor: TrainedFlavor, sample: Sample, tmp_path: Path
    ) -> None:
        """As in folders that MLflow wrote; the section says where."""
        dumped = flavor.dump(
            sample.model, signature=sample.signature, classes=sample.classes, folder=tmp_path
        )
        # What the section names is the file itself, or the folder it lies in.
        named = dumped.weights[0].partition("/")[0]
        key = next(key for key, value in dumped.section.items() if value == named)
        (tmp_path / "below").mkdir()
        other = f"below/renamed{(tmp_path / named).suffix}"
        (tmp_path / named).rename(tmp_path / other)
        section = dict(dumped.section) | {key: other}
        flavor.load(tmp_path, signature=sample.signature, section=section)
        for outside in ("../model", "/etc/hostname", "below/../../model"):
            with pytest.raises(Corrupt, match="names a file"):
                flavor.load(tmp_path, signature=sample.signature, section=section | {key: outside})


def _files(folder: Path) -> list[str]:
    return [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()]


def _round_trip(flavor: Flavor, sample: Sample, folder: Path) -> Predictor:
    dumped = flavor.dump(
        sample.model, signature=sample.signature, classes=sample.classes, folder=folder
    )
    return flavor.load(folder, signature=sample.signature, section=dumped.section)


def _plain(predictor: Predictor, sample: Sample) -> dict[str, np.ndarray]:
    """Return the answers with text as fixed-width characters, whose bytes can be compared."""
    answers = predictor.predict(sample.rows)
    return {
        name: values.astype(np.str_) if values.dtype.kind == "O" else values
        for name, values in answers.items()
    }
