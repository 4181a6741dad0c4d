from __future__ import annotations

import pytest

from millwright.access.projects import DEFAULT_PROJECT, Projects
from millwright.core.errors import Conflict, Invalid, NotFound
from millwright.records.events import Act, Detail, ProjectCreated, Subject


class TestProjects:
    def test_a_project_is_found_by_name_and_id(self, projects: Projects, act: Act) -> None:
        made = projects.create("loans", act=act)
        assert projects.get("loans") == projects.get(made.id) == made
        assert [project.name for project in projects.list()] == [DEFAULT_PROJECT, "loans"]
        assert made.key not in {0, act.project_key}

    def test_its_creation_is_its_own_first_event(
        self,
        projects: Projects,
        act: Act,
        entries: list[tuple[Act, Detail, list[Subject]]],
    ) -> None:
        made = projects.create("loans", act=act)
        [(recorded, detail, subjects)] = entries
        assert (recorded.project, recorded.project_key) == (made.id, made.key)
        assert (recorded.actor, detail) == (
            act.actor,
            ProjectCreated(name="loans", reason="because"),
        )
        assert subjects == [Subject(kind="project", id=made.id)]

    def test_names_are_unique_and_checked(self, projects: Projects, act: Act) -> None:
        with pytest.raises(Conflict, match="a project named default exists already"):
            projects.create(DEFAULT_PROJECT, act=act)
        with pytest.raises(Invalid, match="cannot be the name of a project"):
            projects.create("a@b", act=act)

    def test_an_unknown_project_is_not_found(self, projects: Projects, act: Act) -> None:
        with pytest.raises(NotFound, match="did you mean 'default'"):
            projects.get("defualt")
        with pytest.raises(NotFound, match="this home has: default"):
            projects.get("zzz")
