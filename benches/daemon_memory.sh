#!/bin/sh
# The daemon's resident memory over many runs against the embedded org: 10,000, or as many as the first argument says.
# The runs are a hundred missed occurrences a job, all caught up at one start. Fails where a run failed, or where the
# memory at the end is a tenth and 2 MiB above what it was after a fifth of the runs. SFEXPORT names another binary
# than target/release's.
set -eu
. "$(dirname "$0")/embedded_org.sh"

runs=${1:-10000}
jobs=$(((runs + 99) / 100))
printf '[daemon]\nmax_concurrent_runs = 4\n' >>sfexport.toml
for number in $(seq "$jobs"); do
    cat >"jobs/job$number.toml" <<JOB
soql     = "SELECT Id, Name, Owner.Name, AnnualRevenue FROM Account"
output   = "{job}.csv"
schedule = "* * * * *"
catch_up = "all"
overlap  = "queue"
JOB
done

# A first start writes the marks; turned back by 100 minutes, they make every job late.
"$sfexport" daemon --log-level error &
daemon=$!
for _ in $(seq 300); do
    [ "$(find state/marks -name '*.json' 2>/dev/null | wc -l)" -ge "$jobs" ] && break
    sleep 0.1
done
kill "$daemon"
wait "$daemon" || true
daemon=
rm -f state/runs.jsonl
late=$(date -u -d '-100 minutes' +%Y-%m-%dT%H:%M:00Z)
sed -i "s/\"settled\":\"[^\"]*\"/\"settled\":\"$late\"/; s/\"started\":\[.*\]\]/\"started\":[]/" state/marks/*.json

begun=$(date +%s)
"$sfexport" daemon --log-level error &
daemon=$!
step=$(((runs + 9) / 10))
next=$step
early=
echo "   runs  KiB resident  seconds"
while :; do
    # What was passed over is told in the history too, and is no run.
    done=$(grep -c '"status":"ok"' state/runs.jsonl 2>/dev/null || true)
    done=${done:-0}
    kill -0 "$daemon"
    if grep -q '"status":"failed"' state/runs.jsonl 2>/dev/null; then
        grep -m 1 '"status":"failed"' state/runs.jsonl >&2
        exit 1
    fi
    resident=$(resident)
    if [ "$done" -ge "$next" ]; then
        printf '%7d  %12d  %7d\n' "$done" "$resident" $(($(date +%s) - begun))
        [ -z "$early" ] && [ "$done" -ge $((runs / 5)) ] && early=$resident
        next=$((next + step))
    fi
    [ "$done" -ge "$runs" ] && break
    sleep 0.1
done
echo "open files: $(find "/proc/$daemon/fd" -type l | wc -l); threads: $(find "/proc/$daemon/task" -mindepth 1 -maxdepth 1 -type d | wc -l)"
if [ "$resident" -gt $((early + early / 10 + 2048)) ]; then
    echo "the memory grew from $early to $resident KiB" >&2
    exit 1
fi
