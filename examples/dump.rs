//! The embedded org's data set as JSON Lines, straight from [`DataSet`]: one record a line, deleted ones too.
//! What a client should have received is computed from this, not from the org's responses.

use std::io::{self, BufWriter, Write as _};
use std::process::ExitCode;

use serde_json::{Map, Value as Json, json};
use sfexport::demo_org::{Address, DataSet, Row, Value};

fn main() -> ExitCode {
    let records = std::env::args().nth(1).and_then(|argument| argument.parse().ok());
    let written = match records {
        Some(records) => dump(&DataSet::new(records)),
        None => {
            Err(io::Error::other("usage: dump RECORDS (the number that `sfexport demo --records` takes)"))
        }
    };
    match written {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "dump: {error}");
            ExitCode::FAILURE
        }
    }
}

/// A line a record: `{"object":"Account","fields":{"Id":"001...","IsDeleted":false, ...}}`.
fn dump(data: &DataSet) -> io::Result<()> {
    let mut out = BufWriter::new(io::stdout().lock());
    for object in data.objects() {
        for row in data.rows(object.name) {
            serde_json::to_writer(&mut out, &json!({"object": object.name, "fields": fields(row)}))?;
            out.write_all(b"\n")?;
        }
    }
    out.flush()
}

fn fields(row: Row<'_>) -> Map<String, Json> {
    let fields = row.object().fields.iter();
    fields.filter_map(|field| Some((field.name.to_owned(), shown(row.value(field.name)?)))).collect()
}

fn shown(value: Value) -> Json {
    match value {
        Value::Null => Json::Null,
        Value::Bool(truth) => truth.into(),
        Value::Int(number) => number.into(),
        Value::Double(number) => number.into(),
        Value::Text(text) => text.into_owned().into(),
        Value::Id(id) => id.to_string().into(),
        Value::Date(day) => day.strftime("%Y-%m-%d").to_string().into(),
        Value::Datetime(timestamp) => timestamp.strftime("%Y-%m-%dT%H:%M:%S.%3f+0000").to_string().into(),
        Value::Address(address) => of_address(&address),
        Value::Location { latitude, longitude } => json!({"latitude": latitude, "longitude": longitude}),
        // Where the bytes are, below the URL of the version's `sobjects`.
        Value::Blob(id, field) => json!({"blob": format!("{id}/{field}")}),
    }
}

fn of_address(address: &Address) -> Json {
    json!({
        "city": address.city,
        "country": address.country,
        "geocodeAccuracy": address.geocode_accuracy,
        "latitude": address.latitude,
        "longitude": address.longitude,
        "postalCode": address.postal_code,
        "state": address.state,
        "street": address.street,
    })
}
