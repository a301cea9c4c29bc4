//! A stage that compresses what is written to it. The file is one gzip member or one Zstandard frame: readers exist that take
//! only the first of several.

use std::io::{self, Write};

use flate2::GzBuilder;
use flate2::write::GzEncoder;
use zstd::stream::write::Encoder as ZstdEncoder;

use super::{Published, Renaming, Sealed, Staged};
use crate::error::{Exit, Failure, io_text};
use crate::job::Compression;

/// How much is compressed at once, and how much is collected before it is written, in bytes.
const PIECE_BYTES: usize = 64 * 1024;

pub(super) struct Compressed {
    compression: Compression,
    compressor: Compressor,
    raw_bytes: u64,
    inner: Box<dyn Staged>,
}

impl Compressed {
    pub(super) fn new(compression: Compression, inner: Box<dyn Staged>) -> Result<Self, Failure> {
        let compressor = Compressor::new(compression)?;
        Ok(Self { compression, compressor, raw_bytes: 0, inner })
    }
}

impl Write for Compressed {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let piece = &buffer[..buffer.len().min(PIECE_BYTES)];
        self.compressor.write(piece)?;
        self.raw_bytes += piece.len() as u64;
        let ready = self.compressor.ready();
        if ready.len() >= PIECE_BYTES {
            self.inner.write_all(ready)?;
            ready.clear();
        }
        Ok(piece.len())
    }

    /// What the compressor holds stays there: to flush it would make the file larger.
    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

impl Staged for Compressed {
    fn restart(&mut self) -> Result<(), Failure> {
        self.inner.restart()?;
        self.compressor = Compressor::new(self.compression)?;
        self.raw_bytes = 0;
        Ok(())
    }

    fn can_restart(&self) -> bool {
        self.inner.can_restart()
    }

    fn seal(self: Box<Self>) -> Result<Box<dyn Sealed>, Failure> {
        let Self { compressor, raw_bytes, mut inner, .. } = *self;
        let rest = compressor.finish().map_err(failed)?;
        inner.write_all(&rest).map_err(super::write_failure)?;
        Ok(Box::new(SealedCompressed { raw_bytes, inner: inner.seal()? }))
    }
}

/// Writes into memory, so a compressor that is dropped cannot end the file as if it were whole.
enum Compressor {
    Gzip(GzEncoder<Vec<u8>>),
    Zstd(ZstdEncoder<'static, Vec<u8>>),
}

impl Compressor {
    fn new(compression: Compression) -> Result<Self, Failure> {
        let ready = Vec::with_capacity(2 * PIECE_BYTES);
        Ok(match compression {
            Compression::Gzip(level) => {
                Self::Gzip(GzBuilder::new().write(ready, flate2::Compression::new(level.into())))
            }
            Compression::Zstd(level) => {
                let encoder = ZstdEncoder::new(ready, level.into()).and_then(|mut encoder| {
                    encoder.include_checksum(true)?;
                    Ok(encoder)
                });
                Self::Zstd(encoder.map_err(failed)?)
            }
        })
    }

    fn write(&mut self, piece: &[u8]) -> io::Result<()> {
        match self {
            Self::Gzip(encoder) => encoder.write_all(piece),
            Self::Zstd(encoder) => encoder.write_all(piece),
        }
    }

    /// What is compressed and not written yet.
    fn ready(&mut self) -> &mut Vec<u8> {
        match self {
            Self::Gzip(encoder) => encoder.get_mut(),
            Self::Zstd(encoder) => encoder.get_mut(),
        }
    }

    fn finish(self) -> io::Result<Vec<u8>> {
        match self {
            Self::Gzip(encoder) => encoder.finish(),
            Self::Zstd(encoder) => encoder.finish(),
        }
    }
}

fn failed(error: io::Error) -> Failure {
    Failure::new(Exit::General, format!("the output cannot be compressed: {}", io_text(&error)))
}

struct SealedCompressed {
    raw_bytes: u64,
    inner: Box<dyn Sealed>,
}

impl SealedCompressed {
    fn with_raw_bytes(&self, published: Published) -> Published {
        Published { raw_bytes: Some(self.raw_bytes), ..published }
    }
}

impl Sealed for SealedCompressed {
    fn renaming(&self) -> Option<Renaming> {
        self.inner.renaming()
    }

    fn contents(&self) -> Published {
        self.with_raw_bytes(self.inner.contents())
    }

    fn check(&self) -> Result<(), Failure> {
        self.inner.check()
    }

    fn publish(&mut self) -> Result<(), Failure> {
        self.inner.publish()
    }

    fn confirm(&mut self) -> Result<Published, Failure> {
        let published = self.inner.confirm()?;
        Ok(self.with_raw_bytes(published))
    }

    fn leave(self: Box<Self>) {
        self.inner.leave();
    }
}
