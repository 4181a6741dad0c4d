from __future__ import annotations

import pytest

from fixtures.registries import Home
from millwright.core.errors import Invalid
from millwright.core.ids import to_hex
from millwright.metadata.filters import FilterError
from millwright.registry.search import IS_PROMPT, Searches


@pytest.fixture
def searches(home: Home) -> Searches:
    return Searches(home.database)


def filled(home: Home) -> str:
    """Make two models and a prompt; return the run of the first version in hexadecimal."""
    run = home.run()
    for name, tags in (("churn", {"team": "risk"}), ("Chess", {}), ("hello", {IS_PROMPT: "true"})):
        home.clock.advance(1)
        home.models.create(home.act, name=name, tags=tags)
    home.models.register(home.act, name="churn", package_digest=home.package(0), run=run)
    home.clock.advance(1)
    home.models.register(home.act, name="churn", package_digest=home.package(1))
    return to_hex(run)


def test_models_are_found_without_prompts_unless_these_are_asked_for(
    home: Home, searches: Searches
) -> None:
    filled(home)

    def names(filter_: str = "", *order: str) -> list[str]:
        found = searches.models(home.act.project_key, filter_=filter_, order=order)
        return [model.name for model, _ in found.models]

    assert names() == ["Chess", "churn"]
    assert names(f"tag.`{IS_PROMPT}` != 'true'", "name DESC") == ["churn", "Chess"]
    assert names(f"tags.`{IS_PROMPT}` = 'true'") == ["hello"]
    assert names("tags.team = 'risk'") == ["churn"]
    assert names("name ILIKE 'ch%'", "timestamp DESC") == ["churn", "Chess"]
    with pytest.raises(FilterError):
        names("nam = 'x'")
    with pytest.raises(Invalid):
        searches.models(home.act.project_key, limit=0)


def test_versions_are_found_by_run_and_number(home: Home, searches: Searches) -> None:
    run = filled(home)

    def numbers(filter_: str = "", *order: str) -> list[int]:
        found = searches.versions(home.act.project_key, filter_=filter_, order=order)
        return [version.version for version in found.versions]

    assert numbers() == [2, 1]
    assert numbers("name = 'churn'", "version_number ASC") == [1, 2]
    assert numbers(f"run_id = '{run}'") == [1]
    assert numbers(f"run_id IN ('{run}', 'x')") == [1]
    assert numbers("version_number > 1") == [2]
    first = searches.versions(home.act.project_key, limit=1)
    rest = searches.versions(home.act.project_key, token=first.next_token)
    assert [one.version for one in (*first.versions, *rest.versions)] == [2, 1]
