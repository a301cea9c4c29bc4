"""Salesforce exports by Airflow: one line for a job, or a task that heeds sfexport's exit statuses."""

import subprocess
from datetime import timedelta

import pendulum
from airflow.exceptions import AirflowException, AirflowFailException
from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import dag, task

# sfexport.toml says where exports and state lie, and the key is readable for the workers' user: docs/deploy.md.
SFEXPORT = "sfexport --config /etc/sfexport/sfexport.toml"

# The interval's end is the instant that the run is for: a retry after midnight, a backfill and a cleared task give the
# output's {date} that the first attempt gave it. It is rendered as 2026-11-22T03:15:00+00:00; which date that is, the
# job's own `timezone` says.
INSTANT = "{{ data_interval_end | ts }}"

# These need a person, and are not tried again: command line, query, output, login, configuration.
NEEDS_A_PERSON = (2, 65, 73, 77, 78)


@dag(
    schedule="15 4 * * *",
    start_date=pendulum.datetime(2026, 1, 1, tz="Europe/Berlin"),
    catchup=False,
    max_active_runs=1,
    default_args={"retries": 3, "retry_delay": timedelta(minutes=10)},
)
def sfexport():
    # The one line. Airflow tries every failure again, also those that only a person can end.
    BashOperator(task_id="accounts", bash_command=f"{SFEXPORT} run accounts --at '{INSTANT}'")

    # The same with the exit statuses heeded.
    @task
    def export(job: str, at: str):
        command = [*SFEXPORT.split(), "run", job, "--at", at]
        status = subprocess.run(command, check=False).returncode
        if status in NEEDS_A_PERSON:
            raise AirflowFailException(f"sfexport run {job} ended with {status}: not tried again")
        if status != 0:
            raise AirflowException(f"sfexport run {job} ended with {status}")

    export.override(task_id="contacts")("contacts", INSTANT)


sfexport()
