import numpy as np
import pytest

from millwright.core.errors import Invalid
from millwright.stats.arrays import Floats
from millwright.stats.intervals import Interval
from millwright.stats.metrics import auc
from millwright.stats.significance import (
    Verdict,
    bootstrap_auc,
    bootstrap_mean,
    delong,
    judge,
    mcnemar_exact,
)


def scored(rows: int, seed: int) -> tuple[Floats, Floats, Floats]:
    rng = np.random.default_rng(seed)
    label = (rng.random(rows) < 0.4).astype(np.float64)
    common = label + rng.normal(size=rows)
    return common + rng.normal(size=rows), common + 0.6 * rng.normal(size=rows), label


def test_the_bootstrap_of_a_mean_is_close_to_the_paired_interval() -> None:
    rng = np.random.default_rng(1)
    champion = rng.normal(size=400)
    challenger = champion + 0.1 + 0.5 * rng.normal(size=400)
    found = bootstrap_mean(champion, challenger, seed=2)
    delta = challenger - champion
    half = 1.96 * delta.std(ddof=1) / 20
    assert found.difference.estimate == pytest.approx(delta.mean())
    assert found.difference.lower == pytest.approx(delta.mean() - half, abs=0.01)
    assert found.difference.upper == pytest.approx(delta.mean() + half, abs=0.01)
    assert found.share_better > 0.95
    assert found == bootstrap_mean(champion, challenger, seed=2)
    assert found != bootstrap_mean(champion, challenger, seed=3)


def test_bootstrap_and_delong_agree_on_auc() -> None:
    first, second, label = scored(400, 4)
    boot = bootstrap_auc(first, second, label, seed=5, draws=600)
    exact = delong(first, second, label)
    assert boot.champion == pytest.approx(auc(first, label))
    assert boot.difference.estimate == pytest.approx(exact.estimate)
    assert boot.difference.lower == pytest.approx(exact.lower, abs=0.012)
    assert boot.difference.upper == pytest.approx(exact.upper, abs=0.012)
    assert boot == bootstrap_auc(first, second, label, seed=5, draws=600)


def test_delong_against_its_definition() -> None:
    first, second, label = scored(40, 6)
    first = np.round(first, 1)
    ups, downs = label == 1, label == 0

    def kernel(score: Floats) -> Floats:
        above, below = score[ups][:, None], score[downs][None, :]
        return (above > below) + 0.5 * (above == below)

    delta = kernel(second) - kernel(first)
    variance = (
        delta.mean(axis=1).var(ddof=1) / ups.sum() + delta.mean(axis=0).var(ddof=1) / downs.sum()
    )
    found = delong(first, second, label)
    assert found.estimate == pytest.approx(delta.mean())
    assert found.width == pytest.approx(2 * 1.959963984540054 * np.sqrt(variance))


def test_mcnemar_against_the_sum() -> None:
    assert mcnemar_exact(1, 9) == pytest.approx(2 * (1 + 10) / 2**10)
    assert mcnemar_exact(0, 0) == 1.0
    assert mcnemar_exact(5, 5) == 1.0


@pytest.mark.parametrize(
    ("lower", "upper", "verdict"),
    [
        (0.01, 0.03, Verdict.SUPERIOR),
        (-0.004, 0.03, Verdict.NOT_INFERIOR),
        (-0.02, 0.03, Verdict.UNDETERMINED),
        (-0.005, 0.03, Verdict.UNDETERMINED),
        (-0.03, -0.006, Verdict.INFERIOR),
    ],
)
def test_verdicts(lower: float, upper: float, verdict: Verdict) -> None:
    assert judge(Interval((lower + upper) / 2, lower, upper), margin=0.005) is verdict


def test_an_equal_challenger_is_seldom_called_superior() -> None:
    rng = np.random.default_rng(8)
    called = 0
    for seed in range(100):
        right = (rng.random((2, 300)) < 0.9).astype(np.float64)
        found = bootstrap_mean(right[0], right[1], seed=seed, draws=200)
        called += judge(found.difference, margin=0.0) is Verdict.SUPERIOR
    assert called <= 8


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(Invalid, match="margin"):
        judge(Interval(0, 0, 0), margin=-1)
    with pytest.raises(Invalid, match="draws"):
        bootstrap_mean([1.0], [1.0], seed=0, draws=0)
    with pytest.raises(Invalid, match="both classes"):
        bootstrap_auc([0.1, 0.2], [0.1, 0.2], [1, 1], seed=0)
    with pytest.raises(Invalid, match="two rows"):
        delong([0.1, 0.2], [0.1, 0.2], [1, 0])
    with pytest.raises(Invalid, match="below 0"):
        mcnemar_exact(-1, 2)
