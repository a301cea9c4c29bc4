"""Reads Parquet files by Spark, in one process on loopback; `check.py` calls it with CI_FULL=1."""

import datetime
import os
import time


def reader():
    """Starts Spark, and returns what reads a file into its columns."""
    # Spark hands out timestamps in the local time zone.
    os.environ["TZ"] = "UTC"
    time.tzset()
    os.environ["SPARK_LOCAL_IP"] = "127.0.0.1"
    from pyspark.sql import SparkSession

    settings = {
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.ui.enabled": "false",
        "spark.sql.session.timeZone": "UTC",
        "spark.driver.memory": "2g",
    }
    builder = SparkSession.builder.master("local[2]")
    for key, value in settings.items():
        builder = builder.config(key, value)
    spark = builder.getOrCreate()
    spark.sparkContext.setLogLevel("ERROR")

    def read(path):
        frame = spark.read.parquet(str(path))
        rows = frame.collect()
        return {name: [in_utc(row[at]) for row in rows] for at, name in enumerate(frame.columns)}

    return read


def in_utc(value):
    is_naive = isinstance(value, datetime.datetime) and value.tzinfo is None
    return value.replace(tzinfo=datetime.timezone.utc) if is_naive else value
