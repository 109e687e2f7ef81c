//! Downloads remote resources: streamed to disk, bounded, checked and cached.
//!
//! Schemes are `http` and `https` (rustls). A URL may end with
//! `#sha256=<64 hexadecimal digits>`: the download is then refused unless it has that hash.
//!
//! ```no_run
//! use vaccel_fetch::{Fetcher, Limits};
//!
//! let fetcher = Fetcher::new(Limits::default());
//! let file = fetcher.download("https://example.org/model.onnx", "/tmp".as_ref())?;
//! println!("{}", file.display());
//! # Ok::<(), vaccel_fetch::Error>(())
//! ```
#![forbid(unsafe_code)]

mod address;
mod cache;
mod error;
mod fetcher;
mod limits;

pub use address::Address;
pub use error::{Error, Result};
pub use fetcher::Fetcher;
pub use limits::Limits;
