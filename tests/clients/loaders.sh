# Loaders against the embedded org: Stitch's tap-salesforce, Airbyte's source and SFDMU. They log in with the demo's
# refresh token, because none of them supports the JWT bearer flow. Sourced after common.sh, not run.

# A Python loader in its own environment: their dependencies conflict.
install_loader() {
    local name=$1 module=$2
    if ! cmp -s "$here/$name.txt" "$work/$name/requirements.txt"; then
        rm -rf "${work:?}/$name"
        python3 -m venv "$work/$name"
        "$work/$name/bin/pip" install --quiet --disable-pip-version-check --requirement "$here/$name.txt" >&2
        "$work/$name/bin/python" -c "import $module"
        cp "$here/$name.txt" "$work/$name/requirements.txt"
    fi
}

install_sfdmu() {
    export SFDMU_HOME=$work/sfdmu
    if ! cmp -s "$here/sfdmu/package-lock.json" "$SFDMU_HOME/installed"; then
        rm -rf "$SFDMU_HOME"
        mkdir -p "$SFDMU_HOME"
        cp "$here/sfdmu/package.json" "$here/sfdmu/package-lock.json" "$SFDMU_HOME/"
        npm ci --prefix "$SFDMU_HOME" "${npm_options[@]}" >&2
        cp "$here/sfdmu/package-lock.json" "$SFDMU_HOME/installed"
    fi
}

# All three side by side, because most of the time goes into downloads.
install_loaders() {
    local airbyte tap
    install_loader airbyte source_salesforce &
    airbyte=$!
    install_loader tap-salesforce tap_salesforce &
    tap=$!
    install_sfdmu
    wait $airbyte
    wait $tap
}

# loader VENV MODULE FUNCTION [ARGUMENT...]
loader() {
    "$work/$1/bin/python" "$here/to_the_org.py" "${@:2}"
}

# logged LOG COMMAND...: shows the log only if the command fails.
logged() {
    if ! "${@:2}" 2>"$1"; then
        tail -n 30 "$1" >&2
        return 1
    fi
}

# run_loaders GOT: what each one receives goes to a directory below GOT.
run_loaders() {
    local got=$1
    export ORG_REFRESH_TOKEN=5Aep861.the.demo.org
    mkdir -p "$got/tap-salesforce" "$got/airbyte" "$got/sfdmu/home"
    (
        cd "$got/tap-salesforce"
        printf '{"refresh_token": "%s", "client_id": "%s", "client_secret": "any", "start_date": "2020-01-01T00:00:00Z",
            "api_type": "REST", "select_fields_by_default": "true"}' "$ORG_REFRESH_TOKEN" "$ORG_CLIENT_ID" >config.json
        logged log loader tap-salesforce tap_salesforce main --config config.json --discover >catalog.json
        python3 "$here/loaders.py" select-tap <catalog.json >selected.json
        logged log loader tap-salesforce tap_salesforce main --config config.json --properties selected.json >out.jsonl
    )
    (
        cd "$got/airbyte"
        printf '{"auth_type": "Client", "refresh_token": "%s", "client_id": "%s", "client_secret": "any",
            "start_date": "2020-01-01T00:00:00Z"}' "$ORG_REFRESH_TOKEN" "$ORG_CLIENT_ID" >config.json
        logged log loader airbyte source_salesforce.run run check --config config.json >check.jsonl
        grep -q '"status":"SUCCEEDED"' check.jsonl
        logged log loader airbyte source_salesforce.run run discover --config config.json >catalog.jsonl
        python3 "$here/loaders.py" select-airbyte <catalog.jsonl >selected.json
        logged log loader airbyte source_salesforce.run run read --config config.json --catalog selected.json >out.jsonl
    )
    logged "$got/sfdmu/log" node "$here/with_sfdmu.cjs" "$got/sfdmu/home" "$got/sfdmu" >"$got/sfdmu/out"
}
