//! Pages as an org sends them, of any size, for the benchmarks and the allocation test: the values vary from record
//! to record, and the same number of records is always the same bytes.

use std::fmt::Write;

/// Twenty columns, three of them of parents; about 900 bytes a record.
pub(crate) const WIDE: &str = "SELECT Id, Name, AccountNumber, Type, Industry, AnnualRevenue, NumberOfEmployees, Phone, \
    Website, BillingStreet, BillingCity, BillingPostalCode, BillingCountry, Description, IsDeleted, CreatedDate, \
    LastModifiedDate, Owner.Name, Owner.Email, Parent.Name FROM Account";

/// A page of [`WIDE`].
pub(crate) fn wide(records: usize) -> Vec<u8> {
    let mut page = head(records);
    for n in 0..records {
        let id = 4_300_000 + n * 7;
        let name = [
            "Nordlicht Logistik GmbH",
            "Acme, Inc.",
            "Café Müller & Söhne",
            "Pacific Rim \\\"PR\\\" Traders",
        ][n % 4];
        let kind = ["\"Customer - Direct\"", "\"Prospect\"", "null"][n % 3];
        let revenue = ["1.39E8", "541250.0", "9.9213206E7", "null", "84000.5"][n % 5];
        let street = ["Ballindamm 17", "1 Market Street\\r\\nSuite 400", "12 rue de la Paix"][n % 3];
        let city = ["Hamburg", "San Francisco", "Orléans", "東京"][n % 4];
        let phone = 1_000_000 + (n * 7919) % 9_000_000;
        let _ = write!(
            page,
            r#"{{"attributes":{{"type":"Account","url":"/services/data/v62.0/sobjects/Account/001Wz00000{id:08}"}},"Id":"001Wz00000{id:08}","Name":"{name} {n}","AccountNumber":"CC{phone}-{n}","Type":{kind},"Industry":"Transportation","AnnualRevenue":{revenue},"NumberOfEmployees":{employees},"Phone":"(415) {phone}","Website":"https://www.example.com/customers/{n}","BillingStreet":"{street}","BillingCity":"{city}","BillingPostalCode":"{postal:05}","BillingCountry":"Germany","Description":null,"IsDeleted":{deleted},"CreatedDate":"2025-0{month}-01T07:25:37.000+0000","LastModifiedDate":"2026-0{month}-17T21:02:{second:02}.000+0000","Owner":{{"attributes":{{"type":"User","url":"/services/data/v62.0/sobjects/User/005Wz000000{owner:07}"}},"Name":"Integration User {owner}","Email":"integration.{owner}@example.com"}},"Parent":{parent}}}"#,
            employees = (n * 31) % 20_000,
            postal = (n * 37) % 100_000,
            deleted = n % 50 == 0,
            month = 1 + n % 9,
            second = n % 60,
            owner = n % 40,
            parent = if n % 3 == 0 {
                "null".to_owned()
            } else {
                format!(
                    r#"{{"attributes":{{"type":"Account","url":"/services/data/v62.0/sobjects/Account/001Wz00000{n:08}"}},"Name":"Holding {n} AG"}}"#
                )
            },
        );
        page.push(if n + 1 < records { ',' } else { ']' });
    }
    page.push('}');
    page.into_bytes()
}

/// Two columns, one of them long text with line breaks, quotes and letters beyond ASCII.
pub(crate) const LONG_TEXT: &str = "SELECT Id, Description FROM Account";

/// A page of [`LONG_TEXT`]: about 3,700 bytes a record, an escape in every hundred.
pub(crate) fn long_text(records: usize) -> Vec<u8> {
    let paragraph = "The customer asked for the delivery to be moved to the second week of the month; the warehouse \
        confirmed it by telephone.\\r\\nMs \\\"Jo\\\" Größmann will call again on Tuesday, between nine and eleven. ";
    let text = paragraph.repeat(18);
    let mut page = head(records);
    for n in 0..records {
        let id = 4_300_000 + n * 7;
        let _ = write!(
            page,
            r#"{{"attributes":{{"type":"Account","url":"/services/data/v62.0/sobjects/Account/001Wz00000{id:08}"}},"Id":"001Wz00000{id:08}","Description":"{text}"}}"#
        );
        page.push(if n + 1 < records { ',' } else { ']' });
    }
    page.push('}');
    page.into_bytes()
}

fn head(records: usize) -> String {
    format!(
        r#"{{"totalSize":200000,"done":false,"nextRecordsUrl":"/services/data/v62.0/query/0r8Wz00000AbCdEFGH-{records}","records":["#
    )
}
