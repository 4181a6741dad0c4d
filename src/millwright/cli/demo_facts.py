"""What the demo is told with: names, numbers and the plan of its rollout."""

from __future__ import annotations

from typing import Any

from millwright.records.deployments import RolloutPlan
from millwright.records.monitoring import MonitorSpec

NAME = "demo"
TARGET_FILE = "pipeline.py:demo"
APPROVER = "demo-approver"
HEALTHY_REQUESTS = 300
CHANGED_REQUESTS = 600
CANARY_BATCH = 50
MAX_CANARY_REQUESTS = 3000
MARGIN = 0.05
WAIT_S = 75.0
POLL_S = 0.1

Stage = dict[str, Any]
"""What a stage found: `ok`, `outcome`, ids and counts; printed by `--json` as it is."""

SPEC = MonitorSpec(min_effect=0.2, min_rows=100, window_rows=HEALTHY_REQUESTS)
PLAN = RolloutPlan(
    steps=(5000,),
    error_margin=0.05,
    slow_margin=0.1,
    slow_after_us=20_000,
    min_keys=60,
    max_step_s=45.0,
)
