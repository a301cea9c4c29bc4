"""Nightly Salesforce exports by Airflow 3, divided into shards. Each shard is a task. A retry exports only what the
shard has not exported yet, and Airflow retries only if that can help."""

from datetime import timedelta

import pendulum
from airflow.providers.standard.hooks.subprocess import SubprocessHook
from airflow.sdk import BaseOperator, dag
from airflow.sdk.exceptions import AirflowException, AirflowFailException

# sfexport.toml names the directories of exports and state, and the workers' user can read the key: docs/deploy.md.
SFEXPORT = ["sfexport", "--config", "/etc/sfexport/sfexport.toml"]

# How many tasks share the exports, and how many of them run at once. All exports of an org are in one shard.
SHARDS = 8
AT_ONCE = 4

# The scheduled time, or the time of a manual trigger (data_interval_end is undefined there), rendered as
# 2026-11-22T03:15:00+00:00. All attempts of a DAG run have the same, so --once knows what is done, and {date} stays the
# same after midnight; the job's `timezone` says which date that is.
RUN_AFTER = "{{ dag_run.run_after | ts }}"

# A retry can't fix these: command line, query, output, login, configuration. With --once, 1 means several of them.
NOT_RETRIED = (1, 2, 65, 73, 77, 78)


class SfexportOperator(BaseOperator):
    """Runs the exports of a shard, and logs what sfexport prints."""

    template_fields = ("at",)

    def __init__(self, *, shard: str, at: str, **kwargs):
        super().__init__(**kwargs)
        self.shard = shard
        self.at = at
        self.hook = SubprocessHook()

    def execute(self, context):
        command = [*SFEXPORT, "run", "--all", "--shard", self.shard, "--at", self.at, "--once"]
        status = self.hook.run_command(command).exit_code
        if status in NOT_RETRIED:
            raise AirflowFailException(f"sfexport ended with {status}: not retried, see the log above")
        if status != 0:
            raise AirflowException(f"sfexport ended with {status}: a retry exports what is missing")

    def on_kill(self):
        # sfexport leaves the previous files in place, removes its unfinished ones and ends with 143.
        self.hook.send_sigterm()


@dag(
    schedule="15 4 * * *",
    start_date=pendulum.datetime(2026, 1, 1, tz="Europe/Berlin"),
    catchup=False,
    max_active_runs=1,
    default_args={"retries": 3, "retry_delay": timedelta(minutes=10), "execution_timeout": timedelta(hours=6)},
)
def sfexport():
    SfexportOperator.partial(
        task_id="export",
        at=RUN_AFTER,
        max_active_tis_per_dagrun=AT_ONCE,
        map_index_template="{{ task.shard }}",
    ).expand(shard=[f"{shard}/{SHARDS}" for shard in range(SHARDS)])


sfexport()
