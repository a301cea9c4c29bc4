# What the scripts of this folder share: where things are, a new enough Node, and an embedded org that is up for
# as long as the script runs. Sourced, not run.

set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
target=${CARGO_TARGET_DIR:-$root/target}
work=$target/clients
mkdir -p "$work"

# The cargo to use, and its profile: CARGO="cargo +nightly" and PROFILE=release are possible.
cargo=${CARGO:-cargo}
profile=${PROFILE:-dev}
case $profile in
dev) built=$target/debug ;;
*) built=$target/$profile ;;
esac

# The newest jsforce and Salesforce's CLI want Node 22. Where the system's is older, a Node is installed like any
# other package, below target/.
node22() {
    local platform
    if node -e 'process.exit(process.versions.node.split(".")[0] >= 22 ? 0 : 1)'; then
        return
    fi
    platform=node-$(node -p 'process.platform + "-" + process.arch')
    if [ ! -x "$work/node22/node_modules/$platform/bin/node" ]; then
        mkdir -p "$work/node22"
        npm install --prefix "$work/node22" "${npm_options[@]}" --no-package-lock "$platform@22.23.3" >&2
    fi
    PATH=$work/node22/node_modules/$platform/bin:$PATH
    echo "Node $(node --version), installed below target/" >&2
}

# No scripts of packages are run.
npm_options=(--ignore-scripts --no-audit --no-fund --loglevel=error)

# simple-salesforce into a virtual environment and jsforce into a folder, both at the versions that are locked here.
install_clients() {
    if ! cmp -s "$here/requirements.txt" "$work/python/requirements.txt"; then
        rm -rf "$work/python"
        python3 -m venv "$work/python"
        "$work/python/bin/pip" install --quiet --disable-pip-version-check --requirement "$here/requirements.txt" >&2
        cp "$here/requirements.txt" "$work/python/"
    fi
    node22
    export JSFORCE_HOME=$work/jsforce
    if ! cmp -s "$here/package-lock.json" "$work/jsforce/installed"; then
        rm -rf "$work/jsforce"
        mkdir -p "$work/jsforce"
        cp "$here/package.json" "$here/package-lock.json" "$work/jsforce/"
        npm ci --prefix "$work/jsforce" "${npm_options[@]}" >&2
        cp "$here/package-lock.json" "$work/jsforce/installed"
    fi
}

# Salesforce's CLI (300 MB), below target/clients. Sets `cli`, the program, and `cli_home`, the home directory that it must
# be given: it neither reads nor changes your own configuration.
cli_version=2.150.6
install_salesforce_cli() {
    node22
    cli=$work/salesforce-cli/node_modules/.bin/sf
    cli_home=$work/salesforce-cli/home
    export NODE_NO_WARNINGS=1 SF_DISABLE_TELEMETRY=true SF_AUTOUPDATE_DISABLE=true SF_SKIP_NEW_VERSION_CHECK=true
    if [ "$(HOME=$cli_home "$cli" --version 2>/dev/null | cut -d ' ' -f 1)" != "@salesforce/cli/$cli_version" ]; then
        mkdir -p "$work/salesforce-cli"
        npm install --prefix "$work/salesforce-cli" "${npm_options[@]}" --no-package-lock \
            "@salesforce/cli@$cli_version" >&2
    fi
}

# serve RECORDS [FLAG...]: an embedded org on a free port, in place of an earlier one. Sets ORG_URL, ORG_CLIENT_ID,
# ORG_USERNAME and ORG_KEY_FILE.
serve() {
    local folder=$work/org log=$work/org.log records=$1
    shift
    stop_serving
    # The log too: its last line tells that the org is up.
    rm -rf "$folder" "$log"
    "$built/sfexport" demo --serve --port 0 --records "$records" "$@" --dir "$folder" >"$log" 2>&1 &
    org=$!
    trap stop_serving EXIT
    for wait in $(seq 300); do
        if grep -qs "^The org runs" "$log"; then
            break
        elif [ "$wait" = 300 ] || ! kill -0 $org; then
            echo "The org did not start:" >&2
            cat "$log" >&2
            exit 1
        fi
        sleep 0.1
    done
    ORG_URL=$(setting login_url)
    ORG_CLIENT_ID=$(setting client_id)
    ORG_USERNAME=$(setting username)
    ORG_KEY_FILE=$folder/server.key
    export ORG_URL ORG_CLIENT_ID ORG_USERNAME ORG_KEY_FILE
    # Loopback is reached directly, whatever proxy the environment names.
    export NO_PROXY=127.0.0.1 no_proxy=127.0.0.1
    echo "An embedded org of $records accounts at $ORG_URL" >&2
}

org=
stop_serving() {
    if [ -n "$org" ]; then
        kill -INT "$org"
        wait "$org" || true
        org=
    fi
}

setting() {
    sed -n "s/^$1 *= *\"\(.*\)\"$/\1/p" "$work/org/sfexport.toml"
}
