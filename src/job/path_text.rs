//! Texts that people write instead of a local path: addresses of object stores and other hosts, Windows paths, and
//! extensions of unsupported formats. Each has its own hint.

use super::{Codec, CompressionChoice, Format};

/// A text that is not a path of this system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NotLocal<'t> {
    /// `s3://bucket/a.csv`
    Store,
    /// `sftp://host/a.csv`, `user@host:a.csv`
    Host,
    /// `file:///data/a.csv`: the path in it.
    FileUrl(&'t str),
    /// `C:\data\a.csv`: the drive's letter, and what follows its colon.
    Drive(char, &'t str),
    /// `\\server\share\a.csv`
    Share,
    /// `data\a.csv`
    Backslashes(&'t str),
}

const STORES: [&str; 18] = [
    "s3", "s3a", "s3n", "gs", "gcs", "abfs", "abfss", "az", "azure", "adl", "wasb", "wasbs", "r2", "oss",
    "b2", "oci", "hdfs", "dbfs",
];

/// What a text is instead of a path of this system; `None` if it may be a path.
pub(crate) fn not_local(text: &str) -> Option<NotLocal<'_>> {
    let bytes = text.as_bytes();
    if text.starts_with("\\\\") {
        return Some(NotLocal::Share);
    }
    if let [letter, b':', b'\\' | b'/', ..] = bytes
        && letter.is_ascii_alphabetic()
        && !text[2..].starts_with("//")
    {
        return Some(NotLocal::Drive(char::from(*letter), &text[2..]));
    }
    if let Some((scheme, rest)) = text.split_once(':')
        && scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c))
    {
        let is = |known: &str| scheme.eq_ignore_ascii_case(known);
        if is("file") && rest.starts_with('/') {
            // `file://localhost/a` names the same file as `file:///a` and `file:/a`.
            let path = rest.strip_prefix("//localhost").or_else(|| rest.strip_prefix("//")).unwrap_or(rest);
            return Some(NotLocal::FileUrl(path));
        }
        if STORES.iter().any(|store| is(store)) && rest.starts_with('/') {
            return Some(NotLocal::Store);
        }
        if let Some(rest) = rest.strip_prefix("//") {
            // `https://account.blob.core.windows.net/...` and `https://storage.googleapis.com/...` are stores too.
            let host = rest.split('/').next().unwrap_or_default().to_ascii_lowercase();
            let is_store = [".core.windows.net", "storage.googleapis.com", ".amazonaws.com"]
                .iter()
                .any(|domain| host.ends_with(domain));
            return Some(if is_store { NotLocal::Store } else { NotLocal::Host });
        }
    }
    if let Some((login, _)) = text.split_once(':')
        && login.contains('@')
        && !login.contains(['/', '{', ' '])
    {
        return Some(NotLocal::Host);
    }
    text.contains('\\').then_some(NotLocal::Backslashes(text))
}

/// The first segment of a path that is a shell's variable, such as `$HOME`. A `$` elsewhere is part of a name.
pub(crate) fn shell_variable(path: &str) -> Option<&str> {
    path.split('/').find(|segment| {
        segment.strip_prefix('$').is_some_and(|name| {
            name.starts_with(|c: char| c.is_ascii_uppercase() || c == '{')
                && name.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || "_{}".contains(c))
        })
    })
}

impl NotLocal<'_> {
    /// What is wrong, after the text.
    pub(crate) fn reason(self) -> &'static str {
        match self {
            Self::Store => "is the address of an object store, and object stores are not supported yet",
            Self::Host => "is the address of another host, not a file of this one",
            Self::FileUrl(_) => "is a URL, not a path",
            Self::Drive(..) | Self::Share | Self::Backslashes(_) => "is a Windows path",
        }
    }

    /// What to write instead.
    pub(crate) fn hint(self) -> String {
        match self {
            Self::Store | Self::Host => {
                "write a local path, and copy the files in another step of your schedule".to_owned()
            }
            Self::FileUrl(path) => format!("write the path alone: {path}"),
            Self::Drive(letter, rest) => {
                let below = rest.trim_start_matches(['\\', '/']).replace('\\', "/");
                format!(
                    "write a path of this system; under WSL it is /mnt/{}/{below}",
                    letter.to_ascii_lowercase()
                )
            }
            Self::Share => {
                "mount the share, and write the path below the mount point, as in /mnt/share/a.csv".to_owned()
            }
            Self::Backslashes(text) => format!("separate directories with /: {}", text.replace('\\', "/")),
        }
    }
}

/// The format and the compression of a file with this name, which must be those that are set, if any. Errors have a reason and
/// a hint.
pub(crate) fn form_of(
    output: &str,
    format: Option<Format>,
    compression: Option<CompressionChoice>,
) -> Result<(Format, Option<Codec>), (String, String)> {
    let refused = |reason: &str, hint: &str| Err((reason.to_owned(), hint.to_owned()));
    let (inner, compressed) = extensions(output);
    if let Some((reason, hint)) = unwritten_extension(inner) {
        return refused(reason, hint);
    }
    let named = format_named(inner);
    let format = match (named, format) {
        (Some(named), Some(format)) if named != format => {
            return Err((
                format!("ends in .{named}, but the format is {format}"),
                format!("end it in .{format}, or set the format to {named}"),
            ));
        }
        (Some(format), _) | (None, Some(format)) => format,
        (None, None) => {
            return refused(
                "does not end in .csv, .jsonl or .parquet",
                "end it in .csv, .jsonl (.csv.gz, .csv.zst to compress it) or .parquet, or set the format",
            );
        }
    };
    let chosen = compression.and_then(CompressionChoice::codec);
    if format == Format::Parquet && compressed.or(chosen).is_some() {
        let hint = match compressed {
            Some(_) => "end it in .parquet alone",
            None => "remove the compression",
        };
        return refused(COMPRESSED_PARQUET, hint);
    }
    let ending = |codec: Codec| format!(".{}", codec.extension());
    match (compressed, compression) {
        (Some(found), Some(CompressionChoice::By(codec))) if found != codec => Err((
            format!("ends in {}, but the compression is {codec}", ending(found)),
            format!("end it in {}, or set the compression to {found}", ending(codec)),
        )),
        (Some(found), Some(CompressionChoice::None)) => Err((
            format!("ends in {}, but the compression is none", ending(found)),
            format!("remove {} from its end, or set the compression to {found}", ending(found)),
        )),
        // Readers go by the extension.
        (None, Some(CompressionChoice::By(codec))) if named.is_some() => Err((
            format!("has no {} at its end, but the compression is {codec}", ending(codec)),
            format!("end it in {}", ending(codec)),
        )),
        (compressed, _) => Ok((format, compressed.or(chosen))),
    }
}

const COMPRESSED_PARQUET: &str = "is a Parquet file, and its pages are compressed already";

/// The format and the compression that a file's name alone tells.
pub(crate) fn form_by_name(output: &str) -> (Option<Format>, Option<Codec>) {
    let (inner, compressed) = extensions(output);
    (format_named(inner), compressed)
}

/// The extension of a file's name without that of its compression, and the compression.
fn extensions(output: &str) -> (&str, Option<Codec>) {
    let last = extension(output).unwrap_or_default();
    match Codec::of_extension(last) {
        // The dot before it is not part of the name either.
        Some(codec) => (extension(&output[..output.len() - last.len() - 1]).unwrap_or_default(), Some(codec)),
        None => (last, None),
    }
}

fn format_named(extension: &str) -> Option<Format> {
    Format::ALL.into_iter().find(|format| extension.eq_ignore_ascii_case(format.as_str()))
}

/// The reason and the hint if an extension (`bz2`, `parquet`) promises a format that the file will not have.
fn unwritten_extension(extension: &str) -> Option<(&'static str, &'static str)> {
    const SUPPORTED: &str = "end it in .csv, .jsonl or .parquet";
    const COMPRESSED: &str = "end it in .csv.gz, .jsonl.gz, .csv.zst or .jsonl.zst";
    Some(match extension.to_ascii_lowercase().as_str() {
        "gz" | "zst" => ("has the extensions of two compressions", COMPRESSED),
        "gzip" | "tgz" | "zstd" | "bz2" | "xz" | "lzma" | "lz4" | "br" | "sz" | "snappy" | "z" => {
            ("has the extension of a compressed file other than .gz and .zst", COMPRESSED)
        }
        "zip" | "7z" | "rar" | "tar" => {
            ("has the extension of an archive, but sfexport does not write archives", COMPRESSED)
        }
        "pq" | "parq" => ("has an unusual extension of a Parquet file", "end it in .parquet"),
        "xlsx" | "xlsm" | "xls" | "ods" => (
            "has the extension of a workbook, but sfexport does not write Excel files",
            "end it in .csv, which spreadsheets open; `[csv]` has `bom` and `formula_guard` for them",
        ),
        "avro" | "orc" | "feather" | "arrow" | "xml" | "yaml" | "yml" | "html" | "pdf" | "sql" | "db"
        | "sqlite" | "sqlite3" | "duckdb" => {
            ("has the extension of a format that is not supported", SUPPORTED)
        }
        _ => return None,
    })
}

/// The extension of the last segment of a path or of a template of one; `None` if it has none.
fn extension(text: &str) -> Option<&str> {
    let name = text.rsplit('/').next().unwrap_or_default();
    name.rsplit_once('.').map(|(_, extension)| extension)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_whole_segment_is_a_shells_variable() {
        for (path, expected) in [
            ("$HOME/a.csv", Some("$HOME")),
            ("/data/${DIR_2}/a.csv", Some("${DIR_2}")),
            ("a$B.csv", None),
            ("$b/a.csv", None),
            ("$/a.csv", None),
            ("cost-in-$.csv", None),
        ] {
            assert_eq!(shell_variable(path), expected, "{path}");
        }
    }

    #[test]
    fn texts_that_are_not_local_paths_are_recognized() {
        use NotLocal::{Backslashes, Drive, FileUrl, Host, Share, Store};
        for (text, expected) in [
            ("s3://bucket/a.csv", Store),
            ("S3://bucket/{date}.csv", Store),
            ("gs://b/x.csv", Store),
            ("abfss://c@account.dfs.core.windows.net/x.csv", Store),
            ("az://c/x.csv", Store),
            ("s3:/bucket/a.csv", Store),
            ("https://account.blob.core.windows.net/c/x.csv", Store),
            ("https://bucket.s3.eu-central-1.amazonaws.com/x.csv", Store),
            ("sftp://host/a.csv", Host),
            ("ftp://host/a.csv", Host),
            ("https://example.com/a.csv", Host),
            ("smb://server/share/a.csv", Host),
            ("me@host:/data/a.csv", Host),
            ("file:///x/a.csv", FileUrl("/x/a.csv")),
            ("file:/x/a.csv", FileUrl("/x/a.csv")),
            ("FILE://localhost/x/a.csv", FileUrl("/x/a.csv")),
            (r"C:\x\a.csv", Drive('C', r"\x\a.csv")),
            ("d:/x/a.csv", Drive('d', "/x/a.csv")),
            (r"\\srv\share\a.csv", Share),
            (r"x\a.csv", Backslashes(r"x\a.csv")),
        ] {
            assert_eq!(not_local(text), Some(expected), "{text}");
        }
        for text in [
            "a.csv",
            "/data/a.csv",
            "./a b/ä.csv",
            "{date:%H:%M}.csv",
            "a:b.csv",
            "12:30.csv",
            "a@b.csv",
            "{job}@{org}:{date}.csv",
            "dir@x/12:30.csv",
            "s3/a.csv",
            "c:a.csv",
            "~",
            "",
        ] {
            assert_eq!(not_local(text), None, "{text}");
        }
    }

    #[test]
    fn the_hint_names_the_right_form() {
        for (text, hint) in [
            (r"C:\x\a.csv", "write a path of this system; under WSL it is /mnt/c/x/a.csv"),
            (r"x\y\a.csv", "separate directories with /: x/y/a.csv"),
            ("file:///x/a.csv", "write the path alone: /x/a.csv"),
            ("s3://b/a.csv", "write a local path, and copy the files in another step of your schedule"),
        ] {
            assert_eq!(not_local(text).unwrap().hint(), hint);
        }
    }

    #[test]
    fn an_extension_is_that_of_the_last_segment() {
        for (text, expected) in [
            ("a.csv", Some("csv")),
            ("x.d/a", None),
            ("x.d/a.jsonl.gz", Some("gz")),
            ("{date:%Y.%m}", Some("%m}")),
            ("", None),
        ] {
            assert_eq!(extension(text), expected);
        }
        const GZIP: CompressionChoice = CompressionChoice::By(Codec::Gzip);
        const ZSTD: CompressionChoice = CompressionChoice::By(Codec::Zstd);
        const NONE: CompressionChoice = CompressionChoice::None;
        for (text, format, codec, expected) in [
            ("a.csv", None, None, Ok((Format::Csv, None))),
            ("a.JSONL", None, None, Ok((Format::Jsonl, None))),
            ("a.txt", Some(Format::Csv), None, Ok((Format::Csv, None))),
            ("a.json", Some(Format::Jsonl), None, Ok((Format::Jsonl, None))),
            ("a", Some(Format::Csv), None, Ok((Format::Csv, None))),
            ("a.{run_id}", Some(Format::Csv), None, Ok((Format::Csv, None))),
            ("a.csv.gz", None, None, Ok((Format::Csv, Some(Codec::Gzip)))),
            ("x.d/{date:%Y.%m}.JSONL.ZST", None, None, Ok((Format::Jsonl, Some(Codec::Zstd)))),
            ("a.csv.gz", Some(Format::Csv), Some(GZIP), Ok((Format::Csv, Some(Codec::Gzip)))),
            ("a.gz", Some(Format::Jsonl), None, Ok((Format::Jsonl, Some(Codec::Gzip)))),
            ("a.{run_id}", Some(Format::Csv), Some(ZSTD), Ok((Format::Csv, Some(Codec::Zstd)))),
            ("a.txt", Some(Format::Csv), Some(GZIP), Ok((Format::Csv, Some(Codec::Gzip)))),
            ("a.{run_id}", Some(Format::Csv), Some(NONE), Ok((Format::Csv, None))),
            ("a.csv", None, Some(NONE), Ok((Format::Csv, None))),
            ("a.csv.gz", None, Some(NONE), Err("ends in .gz, but the compression is none")),
            ("a.zst", Some(Format::Csv), Some(NONE), Err("ends in .zst, but the compression is none")),
            ("a", None, None, Err("does not end in .csv, .jsonl or .parquet")),
            ("a.gz", None, None, Err("does not end in .csv, .jsonl or .parquet")),
            ("x.csv/a.gz", None, None, Err("does not end in .csv, .jsonl or .parquet")),
            ("a.csv", Some(Format::Jsonl), None, Err("ends in .csv, but the format is jsonl")),
            ("a.jsonl.gz", Some(Format::Csv), None, Err("ends in .jsonl, but the format is csv")),
            ("a.csv.gz", None, Some(ZSTD), Err("ends in .gz, but the compression is zstd")),
            ("a.csv.zst", None, Some(GZIP), Err("ends in .zst, but the compression is gzip")),
            ("a.csv", None, Some(GZIP), Err("has no .gz at its end, but the compression is gzip")),
            ("a.csv.gz.zst", None, None, Err("has the extensions of two compressions")),
            (
                "a.csv.bz2",
                Some(Format::Csv),
                None,
                Err("has the extension of a compressed file other than .gz and .zst"),
            ),
            ("a.parquet", None, None, Ok((Format::Parquet, None))),
            ("a.parquet", None, Some(NONE), Ok((Format::Parquet, None))),
            ("a.PARQUET", Some(Format::Parquet), None, Ok((Format::Parquet, None))),
            ("a", Some(Format::Parquet), None, Ok((Format::Parquet, None))),
            ("a.pq", Some(Format::Parquet), None, Err("has an unusual extension of a Parquet file")),
            ("a.csv", Some(Format::Parquet), None, Err("ends in .csv, but the format is parquet")),
            ("a.jsonl", Some(Format::Parquet), None, Err("ends in .jsonl, but the format is parquet")),
            ("a.parquet", Some(Format::Csv), None, Err("ends in .parquet, but the format is csv")),
            ("a.parquet", Some(Format::Jsonl), None, Err("ends in .parquet, but the format is jsonl")),
            ("a.parquet.gz", None, None, Err(COMPRESSED_PARQUET)),
            ("a.parquet", None, Some(ZSTD), Err(COMPRESSED_PARQUET)),
            ("a.zst", Some(Format::Parquet), None, Err(COMPRESSED_PARQUET)),
        ] {
            assert_eq!(
                form_of(text, format, codec).map_err(|(reason, _)| reason),
                expected.map_err(str::to_owned),
                "{text}"
            );
        }
        assert!(unwritten_extension("BZ2").is_some() && unwritten_extension("pq").is_some());
        for good in ["parquet", "csv", "CSV", "jsonl", "json", "ndjson", "tsv", "txt", "dat", "%m}", ""] {
            assert_eq!(unwritten_extension(good), None, "{good}");
        }
    }
}
