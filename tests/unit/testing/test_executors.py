from __future__ import annotations

import pytest

from millwright.pipelines.executor import Executor
from millwright.testing.executors import ExecutorSuite, InProcessExecutor


class TestInProcessExecutor(ExecutorSuite):
    @pytest.fixture
    def executor(self) -> Executor:
        return InProcessExecutor()
