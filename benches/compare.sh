#!/usr/bin/env bash
# sfexport beside jsforce, simple-salesforce and curl, in one run against the same embedded org, whose pages are
# rendered before the clock starts: wall, CPU and peak memory of each process, and the ratios that were promised.
# Prints what docs/internals/performance.md shows; takes about three minutes. usage: benches/compare.sh [PART...], of the parts
# speed, slow, memory and start, which run if none is named, and bulk: results by Bulk API 2.0, next to simple-salesforce and
# Salesforce's CLI, which takes ten minutes more, 5 GB of memory and 8 GB of disk, and formats: compressed files, next to a plain
# one that pigz or zstd compresses, and Parquet, next to a plain one that pyarrow converts. ROUNDS=3: each row is the median of so many.
# Needs what tests/clients/run needs, and curl and GNU time, for formats also pigz and zstd; the clients are installed below target/clients.

PROFILE=${PROFILE:-release}
. "$(dirname "$0")/../tests/clients/common.sh"

rounds=${ROUNDS:-3}
bench=$work/bench
rm -rf "$bench"
mkdir -p "$bench/rows" "$bench/pages"

fields="Id, Name, AccountNumber, Type, Industry, AnnualRevenue, NumberOfEmployees, Phone, Website, BillingStreet, \
BillingCity, BillingPostalCode, BillingCountry, Fax, IsDeleted, CreatedDate, LastModifiedDate, Owner.Name, Owner.Email, \
Parent.Name"

# query RECORDS: the query for so many, 2,000 a page.
query() {
    echo "SELECT $fields FROM Account LIMIT $1"
}

# measure ROW COMMAND...: adds a line to the row: seconds of wall, seconds of CPU, MiB at the peak.
measure() {
    local row=$bench/rows/$1
    shift
    if ! { TIMEFORMAT='%R %U %S' && time command time --quiet -f %M -o "$bench/kib" "$@" >"$bench/out" 2>"$bench/err"; } \
        2>"$bench/seconds"; then
        cat "$bench/err" >&2
        exit 1
    fi
    awk '{ kib = $1; getline < "'"$bench/seconds"'"; print $1, $2 + $3, kib / 1024 }' "$bench/kib" >>"$row"
}

# of ROW COLUMN: the median of a row's column.
of() {
    sort -n -k "$2,$2" "$bench/rows/$1" | awk -v column="$2" '{ value[NR] = $column } END { print value[int((NR + 1) / 2)] }'
}

# ratio A B: A / B.
ratio() {
    awk -v a="$1" -v b="$2" 'BEGIN { printf "%.2f", a / b }'
}

# The pages as curl will ask for them, found by following nextRecordsUrl: pages/NAME is a configuration for curl.
# find_pages NAME SOQL [OPTION...]
find_pages() {
    local name=$1 path size token
    path=/services/data/v62.0/query?q=$(jq -rn --arg soql "$2" '$soql | @uri')
    shift 2
    token=$(PYTHONPATH=$here "$work/python/bin/python" -c '
import requests, with_simple_salesforce
session = requests.Session()
session.trust_env = False
print(with_simple_salesforce.token(session).json()["access_token"])')
    echo "header = \"Authorization: Bearer $token\"" >"$bench/pages/$name"
    echo 0 >"$bench/pages/$name.largest"
    while [ -n "$path" ]; do
        printf 'url = "%s"\noutput = "/dev/null"\n' "$ORG_URL$path" >>"$bench/pages/$name"
        curl --silent --show-error --fail --header "Authorization: Bearer $token" "$@" --output "$bench/page" "$ORG_URL$path"
        path=$(head -c 4096 "$bench/page" | LC_ALL=C sed -n 's/.*"nextRecordsUrl":"\([^"]*\)".*/\1/p')
        size=$(stat -c %s "$bench/page")
        [ "$size" -le "$(cat "$bench/pages/$name.largest")" ] || echo "$size" >"$bench/pages/$name.largest"
    done
}

# sfexport ROW ARGUMENT...: a query by the API that `api` names.
api=rest
sfexport() {
    local row=$1
    shift
    measure "$row" "$built/sfexport" --config "$work/org/sfexport.toml" --log-level error query --api "$api" "$@"
}

# The rows of a table: a client's name as it is shown, then its row.
table() {
    local records=$1 row
    shift
    printf '\n%-34s %9s %9s %12s %10s\n' "" "wall, s" "CPU, s" "µs a record" "peak, MiB"
    for row in "$@"; do
        printf '%-34s %9.2f %9.2f %12.1f %10.1f\n' "${shown[$row]}" "$(of "$row" 1)" "$(of "$row" 2)" \
            "$(awk -v cpu="$(of "$row" 2)" -v n="$records" 'BEGIN { print cpu / n * 1e6 }')" "$(of "$row" 3)"
    done
}

declare -A shown=(
    [curl]="curl, thrown away"
    [curl_gzip]="curl --compressed, thrown away"
    [csv]="sfexport, CSV"
    [jsonl]="sfexport, JSON Lines"
    [csv_plain]="sfexport, CSV, gzip = false"
    [jsonl_plain]="sfexport, JSON Lines, gzip = false"
    [jsforce]="jsforce, stream('csv')"
    [simple]="simple-salesforce, csv.writer"
    [bulk_csv]="sfexport, CSV"
    [bulk_csv_plain]="sfexport, CSV, gzip = false"
    [bulk_jsonl]="sfexport, JSON Lines"
    [bulk_jsonl_plain]="sfexport, JSON Lines, gzip = false"
    [bulk_simple]="simple-salesforce, then csv"
    [bulk_simple_plain]="simple-salesforce, then csv, no gzip"
    [bulk_cli]="sf data export bulk"
    [formats_csv]="sfexport, .csv"
    [formats_gz]="sfexport, .csv.gz"
    [formats_zst]="sfexport, .csv.zst"
    [formats_parquet]="sfexport, .parquet"
    [formats_pyarrow]="pyarrow, open_csv to ParquetWriter"
    [formats_pigz]="pigz -p1 -6"
    [formats_zstd]="zstd -3"
    [parallel_1]="parallel = 1"
    [parallel_4]="parallel = 4"
)

# clients PREFIX SOQL: every client once, a row each.
clients() {
    local prefix=$1 soql=$2
    measure "${prefix}curl" curl --silent --show-error --fail --config "$bench/pages/plain"
    measure "${prefix}curl_gzip" curl --silent --show-error --fail --compressed --config "$bench/pages/gzip"
    sfexport "${prefix}csv" "$soql" -o "$bench/csv.csv"
    sfexport "${prefix}jsonl" "$soql" -o "$bench/jsonl.jsonl"
    SFEXPORT_HTTP__GZIP=false sfexport "${prefix}csv_plain" "$soql" -o "$bench/plain.csv"
    measure "${prefix}jsforce" node "$root/benches/jsforce_to_csv.mjs" "$soql" "$bench/jsforce.csv"
    measure "${prefix}simple" env PYTHONPATH="$here" "$work/python/bin/python" \
        "$root/benches/simple_salesforce_to_csv.py" "$soql" "$bench/simple.csv"
}

# The org renders what it has not been asked before: each client asks its own way. The renderings stay.
warm() {
    local soql=$1
    find_pages plain "$soql"
    find_pages gzip "$soql" --compressed
    warm_sfexport "$soql"
    node "$root/benches/jsforce_to_csv.mjs" "$soql" first-page
    PYTHONPATH=$here "$work/python/bin/python" "$root/benches/simple_salesforce_to_csv.py" "$soql" first-page
}

warm_sfexport() {
    local gzip
    for gzip in true false; do
        SFEXPORT_HTTP__GZIP=$gzip SFEXPORT_HTTP__IDLE_TIMEOUT=10m sfexport warm "$1" -o - --format csv
    done
}

# Every client wrote every record, and sfexport the same bytes whichever way they came.
same_records() {
    "$work/python/bin/python" - "$1" "$bench"/{csv,plain,jsforce,simple}.csv <<'END'
import csv, sys
for file in sys.argv[2:]:
    with open(file, newline="") as rows:
        found = sum(1 for _ in csv.reader(rows)) - 1
    if found != int(sys.argv[1]):
        sys.exit(f"{file} has {found} records where {sys.argv[1]} are expected")
END
    cmp "$bench/csv.csv" "$bench/plain.csv"
}

speed() {
    local records=200000 soql better
    soql=$(query $records)
    serve 210000 --prerender
    warm "$soql"
    for _ in $(seq "$rounds"); do
        clients speed_ "$soql"
    done
    same_records $records
    echo
    echo "At full speed: $records records in $(grep -c ^url "$bench/pages/plain") pages, the largest" \
        "$(cat "$bench/pages/plain.largest") bytes; the median of $rounds"
    shown_as speed_
    table $records speed_{curl,curl_gzip,csv,jsonl,csv_plain,jsforce,simple}
    better=$(printf '%s\n' "$(of speed_jsforce 2)" "$(of speed_simple 2)" | sort -n | head -n 1)
    echo
    echo "CPU of the better peer / sfexport's:        $(ratio "$better" "$(of speed_csv 2)")," \
        "with gzip = false $(ratio "$better" "$(of speed_csv_plain 2)") (promised: at least 20)"
    echo "wall of sfexport / curl's:                  $(ratio "$(of speed_csv 1)" "$(of speed_curl_gzip 1)") of" \
        "the same packed pages, with gzip = false $(ratio "$(of speed_csv_plain 1)" "$(of speed_curl 1)") (promised: at most 3.5)"
}

slow() {
    local records=40000 soql
    soql=$(query $records)
    serve 42000 --prerender --think 200 --bytes-per-second 5000000
    warm "$soql"
    clients slow_ "$soql"
    same_records $records
    echo
    echo "An org that thinks 200 ms a page and sends 5 MB/s: $records records in" \
        "$(grep -c ^url "$bench/pages/plain") pages; once"
    shown_as slow_
    table $records slow_{curl,curl_gzip,csv,jsonl,csv_plain,jsforce,simple}
    echo
    echo "wall of sfexport / curl's, page after page: $(ratio "$(of slow_csv_plain 1)" "$(of slow_curl 1)") with" \
        "gzip = false (promised: at most 0.6), $(ratio "$(of slow_csv 1)" "$(of slow_curl_gzip 1)") with gzip, $(
        )$(ratio "$(of slow_csv 1)" "$(of slow_curl 1)") of what curl takes unpacked"
}

memory() {
    local records size form gzip row
    serve 2100000 --prerender
    echo
    echo "Peak memory, MiB, by the size of the result: 2,000 records a page; the largest of $rounds (of one for 2,000,000)"
    printf '\n%-34s %10s %10s %10s %10s\n' "" 2,000 20,000 2,000,000 "last two"
    for records in 2000 20000 2000000; do
        warm_sfexport "$(query $records)"
        for form in csv jsonl; do
            for gzip in true false; do
                for _ in $(seq "$([ $records = 2000000 ] && echo 1 || echo "$rounds")"); do
                    SFEXPORT_HTTP__GZIP=$gzip sfexport "memory_${form}_${gzip}_$records" "$(query $records)" \
                        -o "$bench/memory.$form"
                done
                rm "$bench/memory.$form"
            done
        done
    done
    for form in csv jsonl; do
        for gzip in true false; do
            row=memory_${form}_${gzip}
            printf '%-34s %10.1f %10.1f %10.1f %10s\n' "$form, gzip = $gzip" "$(peak "${row}_2000")" \
                "$(peak "${row}_20000")" "$(peak "${row}_2000000")" \
                "$(ratio "$(peak "${row}_2000000")" "$(peak "${row}_20000")")"
        done
    done
    echo "(promised: at most 32, and the last two within 10 % of each other)"

    echo
    echo "Peak memory, MiB, by the size of the page: 40,000 records; the largest of $rounds"
    printf '\n%-34s' "records a page"
    for size in 200 500 1000 1500 2000; do
        printf ' %10s' $size
    done
    for form in csv jsonl; do
        for gzip in true false; do
            printf '\n%-34s' "$form, gzip = $gzip"
            for size in 200 500 1000 1500 2000; do
                row=page_${form}_${gzip}_$size
                for _ in warm $(seq "$rounds"); do
                    SFEXPORT_HTTP__GZIP=$gzip SFEXPORT_HTTP__BATCH_SIZE=$size sfexport "$row" "$(query 40000)" \
                        -o "$bench/memory.$form"
                done
                printf ' %10.1f' "$(peak "$row")"
            done
        done
    done
    echo
}

# peak ROW: the largest memory of a row.
peak() {
    sort -n -k 3,3 "$bench/rows/$1" | tail -n 1 | cut -d ' ' -f 3
}

# One client after the other exports the same result by a query job, which is complete at the first poll.
bulk() {
    local records=2000000 soql api=bulk form gzip row
    soql=$(query $records)
    install_salesforce_cli
    serve 2100000 --prerender
    HOME=$cli_home "$cli" org login jwt --username "$ORG_USERNAME" --client-id "$ORG_CLIENT_ID" \
        --jwt-key-file "$ORG_KEY_FILE" --instance-url "$ORG_URL" --set-default >/dev/null
    warm_sfexport "$soql"
    for _ in $(seq "$rounds"); do
        sfexport bulk_csv "$soql" -o "$bench/csv.csv"
        SFEXPORT_HTTP__GZIP=false sfexport bulk_csv_plain "$soql" -o "$bench/plain.csv"
    done
    cmp "$bench/csv.csv" "$bench/plain.csv"
    rm "$bench/plain.csv"
    # Its query has columns more, so the org renders other pages.
    for row in warm bulk_jsonl; do
        SFEXPORT_HTTP__IDLE_TIMEOUT=10m sfexport $row "$soql" -o "$bench/jsonl.jsonl"
        SFEXPORT_HTTP__IDLE_TIMEOUT=10m SFEXPORT_HTTP__GZIP=false sfexport "${row}_plain" "$soql" -o "$bench/jsonl.jsonl"
    done
    rm "$bench/jsonl.jsonl"
    same_rows $records "$bench/csv.csv"
    for gzip in "" _plain; do
        measure "bulk_simple$gzip" env PYTHONPATH="$here" "$work/python/bin/python" \
            "$root/benches/simple_salesforce_bulk_to_csv.py" "$soql" "$bench/simple.csv" ${gzip:+identity}
        same_rows $records "$bench/simple.csv"
        rm "$bench/simple.csv"
    done
    measure bulk_cli env HOME="$cli_home" "$cli" data export bulk --api-version 62.0 --result-format csv --wait 30 \
        --output-file "$bench/cli.csv" --query "$soql"
    same_rows $records "$bench/cli.csv"
    rm "$bench/cli.csv" "$bench/csv.csv"
    echo
    echo "By Bulk API 2.0: $records records in 40 pages; the median of $rounds, once for JSON Lines and the others"
    table $records bulk_{csv,csv_plain,jsonl,jsonl_plain,simple,simple_plain,cli}
    echo
    echo "CPU of sfexport / simple-salesforce's:      $(ratio "$(of bulk_csv_plain 2)" "$(of bulk_simple_plain 2)")" \
        "without gzip (promised: at most 0.17), $(ratio "$(of bulk_csv 2)" "$(of bulk_simple 2)") with gzip (at most 0.20)"
    echo "CPU of sfexport / sf's:                     $(ratio "$(of bulk_csv 2)" "$(of bulk_cli 2)"), with gzip = false" \
        "$(ratio "$(of bulk_csv_plain 2)" "$(of bulk_cli 2)") (promised: at most 1)"
    echo "peak memory of sfexport, MiB:               $(for form in csv csv_plain jsonl jsonl_plain; do
        printf '%.1f ' "$(peak bulk_$form)"
    done)(promised: at most 32)"
    parallel
}

# An org whose connections are slow: several pages at once.
parallel() {
    local records=1000000 parallel row
    serve 1050000 --prerender --bytes-per-second 20000000
    for parallel in 1 4; do
        cat >"$work/org/jobs/parallel_$parallel.toml" <<END
soql = "$(query $records)"
output = "{job}.csv"
api = "bulk"

[bulk]
parallel = $parallel
END
    done
    for row in warm parallel_1 parallel_4; do
        SFEXPORT_HTTP__GZIP=false SFEXPORT_HTTP__IDLE_TIMEOUT=10m measure $row "$built/sfexport" \
            --config "$work/org/sfexport.toml" --log-level error run "${row/warm/parallel_4}"
    done
    rm "$work"/org/exports/parallel_*.csv
    echo
    echo "By Bulk API 2.0 from an org that sends 20 MB/s a connection: $records records in 20 pages, gzip = false; once"
    table $records parallel_1 parallel_4
    echo
    echo "wall of parallel = 4 / parallel = 1:        $(ratio "$(of parallel_4 1)" "$(of parallel_1 1)") (promised: at most 0.35)"
}

# Compressed files, next to the tools that could compress a plain one in the next step.
formats() {
    local records=2000000 soql row
    soql=$(query $records)
    python3 -m venv "$bench/pyarrow"
    "$bench/pyarrow/bin/pip" install --quiet --disable-pip-version-check pyarrow==26.0.1 >&2
    serve 2100000 --prerender
    warm_sfexport "$soql"
    for _ in $(seq "$rounds"); do
        sfexport formats_csv "$soql" -o "$bench/a.csv"
        sfexport formats_gz "$soql" -o "$bench/b.csv.gz"
        sfexport formats_zst "$soql" -o "$bench/b.csv.zst"
        sfexport formats_parquet "$soql" -o "$bench/b.parquet"
        measure formats_pyarrow "$bench/pyarrow/bin/python" "$root/benches/pyarrow_to_parquet.py" "$bench/a.csv" "$bench/a.parquet"
        measure formats_pigz pigz -p1 -6 -k -f "$bench/a.csv"
        measure formats_zstd zstd -3 -q -f --single-thread "$bench/a.csv"
    done
    gzip -dc "$bench/b.csv.gz" | cmp - "$bench/a.csv"
    zstd -dcq "$bench/b.csv.zst" | cmp - "$bench/a.csv"
    echo
    echo "Compressed files: $records records by REST; the median of $rounds"
    table $records formats_{csv,gz,zst,parquet,pigz,zstd,pyarrow}
    echo
    echo "bytes: .csv $(stat -c %s "$bench/a.csv"), .csv.gz $(stat -c %s "$bench/b.csv.gz") (pigz" \
        "$(stat -c %s "$bench/a.csv.gz")), .csv.zst $(stat -c %s "$bench/b.csv.zst") (zstd $(stat -c %s "$bench/a.csv.zst"))," \
        ".parquet $(stat -c %s "$bench/b.parquet") (pyarrow $(stat -c %s "$bench/a.parquet"))"
    for row in gz:pigz zst:zstd; do
        echo "CPU of .csv.${row%:*} / that of .csv and ${row#*:}:    $(awk -v whole="$(of "formats_${row%:*}" 2)" \
            -v csv="$(of formats_csv 2)" -v tool="$(of "formats_${row#*:}" 2)" \
            'BEGIN { printf "%.2f", whole / (csv + tool) }') (promised: at most 1.1)"
    done
    echo "CPU of .parquet / that of pyarrow's conversion:    $(ratio "$(of formats_parquet 2)" "$(of formats_pyarrow 2)")" \
        "(promised: at most 1.5)"
    rm "$bench"/[ab].{csv,parquet}*
}

# same_rows RECORDS FILE: the file has a header, and the Id of an account in so many rows.
same_rows() {
    "$work/python/bin/python" - "$@" <<'END'
import csv, sys
with open(sys.argv[2], newline="") as rows:
    reader = csv.reader(rows)
    next(reader)
    found = sum(1 for row in reader if len(row) == 20 and row[0].startswith("001"))
if found != int(sys.argv[1]):
    sys.exit(f"{sys.argv[2]} has {found} records where {sys.argv[1]} are expected")
END
}

start() {
    local from to
    from=$EPOCHREALTIME
    for _ in $(seq 100); do
        "$built/sfexport" --version >/dev/null
    done
    to=$EPOCHREALTIME
    echo
    echo "sfexport --version: $(awk -v us=$((${to/./} - ${from/./})) 'BEGIN { printf "%.1f", us / 1e5 }') ms," \
        "the mean of 100 (promised: at most 10)"
    echo "the binary: $(stat -c %s "$built/sfexport") bytes (promised: at most 18,000,000)"
}

# Tables show a row by its client.
shown_as() {
    local row
    for row in curl curl_gzip csv jsonl csv_plain jsforce simple; do
        shown[$1$row]=${shown[$row]}
    done
}

echo "Building" >&2
$cargo build --quiet --profile "$profile" --bin sfexport
install_clients
echo "$(uname -sm), $(nproc) CPUs; $("$built/sfexport" --version), $(curl --version | head -n 1 | cut -d ' ' -f 1-2)," \
    "node $(node --version), jsforce $(node -p 'require(process.env.JSFORCE_HOME + "/node_modules/jsforce/package.json").version')," \
    "$("$work/python/bin/python" --version), simple-salesforce $("$work/python/bin/pip" show simple-salesforce | sed -n 's/^Version: //p')"
for part in "${@:-speed slow memory start}"; do
    for part in $part; do
        $part
    done
done
