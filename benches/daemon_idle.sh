#!/bin/sh
# The daemon with 1,000 jobs and nothing to do: memory, processor time of two minutes, the time of a reload and what
# many reloads leave, and how late a job starts that is due at the full minute. Takes five minutes; IDLE is another
# number of idle seconds. SFEXPORT names another binary than target/release's. Fails at 30 MiB.
set -eu
. "$(dirname "$0")/embedded_org.sh"

idle=${IDLE:-120}
for number in $(seq 1000); do
    cat >"jobs/job$number.toml" <<JOB
soql     = "SELECT Id, Name, Owner.Name, AnnualRevenue, NumberOfEmployees, CreatedDate FROM Account"
output   = "{job}/{date}.csv"
schedule = "$((number % 60)) 2 1 1 *"
timezone = "Europe/Berlin"
JOB
done

"$sfexport" daemon 2>daemon.log &
daemon=$!
# said TEXT [COUNT]: waits until it stands in the log so many times.
said() {
    for _ in $(seq 600); do
        [ "$(grep -c "$1" daemon.log)" -ge "${2:-1}" ] && return
        sleep 0.1
    done
    cat daemon.log >&2
    exit 1
}
# reload COUNT: has the configuration read anew, for the COUNTth time.
reload() {
    kill -HUP "$daemon"
    said 'was read anew' "$1"
}
# memory WHEN: says how much is resident.
most=0
memory() {
    now=$(resident)
    [ "$now" -gt "$most" ] && most=$now
    echo "resident, $1: $now KiB"
}
ticks() { awk '{ print $14 + $15 }' "/proc/$daemon/stat"; }

said 'the daemon has started'
sleep 10
memory "after the start"
before=$(ticks)
sleep "$idle"
echo "idle: $(($(ticks) - before)) ticks of 10 ms in $idle s"
reload 1
memory "after a reload"
for count in $(seq 2 30); do
    reload "$count"
done
memory "after 30 reloads"
printf 'soql = "SELECT Id FROM Account"\noutput = "minute.csv"\nschedule = "* * * * *"\n' >jobs/minute.toml
reload 31
sed -n 's/.*was read anew.*seconds=//p' daemon.log | sort -n |
    awk '{ took[NR] = $1 } END { print "a reload of 1,000 jobs, seconds: " took[1] " to " took[NR] ", the median " took[int((NR + 1) / 2)] }'
sleep 125
"$sfexport" --log-level error history minute --json |
    sed -n 's/.*"scheduled":"\([^"]*\)","started":"\([^"]*\)".*/due \1, started \2/p'
memory "after $(grep -c . state/runs.jsonl) runs"
for count in $(seq 32 40); do
    reload "$count"
done
memory "after these and 40 reloads"
[ "$most" -lt $((30 * 1024)) ]
