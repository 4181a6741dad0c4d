"""What an unmodified MLflow client does, timed; run by the benchmark in MLflow's own environment.

python client.py URL WORK SECONDS    prints one JSON object
"""
# pyright: basic, reportMissingImports=false, reportMissingModuleSource=false

import json
import sys
import time

import mlflow
from mlflow.entities import Metric


def repeat(seconds, work):
    """Return how often `work` was done a second, and the client's CPU milliseconds for each."""
    work(-1)
    began, cpu, count = time.perf_counter(), time.process_time(), 0
    while time.perf_counter() - began < seconds:
        work(count)
        count += 1
    took = time.perf_counter() - began
    return {"per_s": count / took, "client_ms": (time.process_time() - cpu) / count * 1e3}


def main():
    """Do one kind of work against one server."""
    url, work, seconds = sys.argv[1], sys.argv[2], float(sys.argv[3])
    mlflow.set_tracking_uri(url)
    client = mlflow.MlflowClient()
    if work == "history":
        run = sys.argv[4]
        began = time.perf_counter()
        points = len(client.get_metric_history(run, "long"))
        print(json.dumps({"seconds": time.perf_counter() - began, "points": points}))
        return
    if work == "search":
        experiment = sys.argv[4]
        times = []
        for _ in range(int(seconds)):
            began = time.perf_counter()
            found = client.search_runs(
                [experiment],
                "metrics.m1 > 0.5 and params.p1 = 'y'",
                max_results=100,
                order_by=["metrics.m1 DESC"],
            )
            times.append(time.perf_counter() - began)
        print(json.dumps({"ms": sorted(times)[len(times) // 2] * 1e3, "runs": len(found)}))
        return
    experiment = client.create_experiment(f"bench-{time.time_ns()}-{work}")
    run = client.create_run(experiment).info.run_id

    def log_metric(n):
        client.log_metric(run, "loss", n * 0.5, step=n)

    def log_batch(n):
        start = 1_700_000_000_000 + n * 1000
        client.log_batch(
            run, [Metric(f"m{i % 10}", i * 0.5, start + i, n * 1000 + i) for i in range(1000)]
        )

    def whole_run(_):
        one = client.create_run(experiment).info.run_id
        for i in range(10):
            client.log_param(one, f"p{i}", i)
        for i in range(10):
            client.log_metric(one, f"m{i}", i)
        client.set_terminated(one)

    works = {"log_metric": log_metric, "log_batch": log_batch, "whole_run": whole_run}
    print(json.dumps(repeat(seconds, works[work])))


main()
