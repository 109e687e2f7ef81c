//! What the environment asks for: which BLAS, and how many threads.

use vaccel_plugin::{Result, Variable, bail};

/// Environment variables of the plugin.
pub(crate) const VARIABLES: &[Variable] = &[
    Variable {
        name: "VACCEL_BLAS",
        meaning: "What multiplies: `gemm` (built in, the default), `openblas`, `blis`, `mkl`, or the path of a library with `cblas_sgemm`",
    },
    Variable {
        name: "VACCEL_BLAS_THREADS",
        meaning: "Threads of a large product; default: one for each processor",
    },
];

/// Which BLAS, and how many threads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// What multiplies.
    pub choice: Choice,
    /// Threads of a large product; `None`: as many as processors.
    pub threads: Option<usize>,
}

/// What multiplies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Choice {
    /// The crate `gemm`, which is always there.
    BuiltIn,
    /// OpenBLAS.
    OpenBlas,
    /// BLIS, with its interface of CBLAS.
    Blis,
    /// oneMKL, through its single library.
    Mkl,
    /// A library with `cblas_sgemm` and 32-bit sizes, by its path.
    Path(String),
}

impl Settings {
    /// What `VACCEL_BLAS` and `VACCEL_BLAS_THREADS` say. `EINVAL` names a value that
    /// is neither a known name nor a path, or no number of threads.
    pub fn from_environment() -> Result<Self> {
        let read = |name| std::env::var(name).unwrap_or_default();
        Self::parse(&read("VACCEL_BLAS"), &read("VACCEL_BLAS_THREADS"))
    }

    /// The same from two texts; empty ones mean the defaults.
    pub fn parse(blas: &str, threads: &str) -> Result<Self> {
        let choice = match blas.trim() {
            "" | "gemm" => Choice::BuiltIn,
            "openblas" => Choice::OpenBlas,
            "blis" => Choice::Blis,
            "mkl" => Choice::Mkl,
            path if path.contains('/') => Choice::Path(path.into()),
            other => bail!(
                EINVAL,
                "VACCEL_BLAS is `{other}`; there are: gemm, openblas, blis, mkl, or a path with a `/` in it"
            ),
        };
        let threads = match threads.trim() {
            "" => None,
            text => match text.parse::<usize>() {
                Ok(count @ 1..=1024) => Some(count),
                _ => bail!(
                    EINVAL,
                    "VACCEL_BLAS_THREADS is `{text}`, not a number from 1 to 1024"
                ),
            },
        };
        Ok(Self { choice, threads })
    }
}

impl Choice {
    /// Its name, as `VACCEL_BLAS` has it.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::BuiltIn => "gemm",
            Self::OpenBlas => "openblas",
            Self::Blis => "blis",
            Self::Mkl => "mkl",
            Self::Path(path) => path,
        }
    }

    /// Files to try, the best first; none for what is built in.
    #[must_use]
    pub fn files(&self) -> Vec<&str> {
        match self {
            Self::BuiltIn => Vec::new(),
            Self::OpenBlas => vec!["libopenblas.so.0", "libopenblas.so"],
            Self::Blis => vec!["libblis.so.4", "libblis.so", "libblis-mt.so.4"],
            Self::Mkl => vec!["libmkl_rt.so.2", "libmkl_rt.so.3", "libmkl_rt.so"],
            Self::Path(path) => vec![path],
        }
    }

    /// How to get it; `None` for what is built in or a path of the user's.
    #[must_use]
    pub fn remedy(&self) -> Option<String> {
        let install = match self {
            Self::BuiltIn | Self::Path(_) => return None,
            Self::OpenBlas => "`apt-get install libopenblas0-pthread`",
            Self::Blis => "`apt-get install libblis4-pthread`",
            Self::Mkl => {
                "`pip install mkl` and add its folder to LD_LIBRARY_PATH, or `apt-get install libmkl-rt`"
            }
        };
        Some(format!(
            "install it with {install}, or unset VACCEL_BLAS to use the built-in product"
        ))
    }
}

/// How many processors there are for this process.
pub(crate) fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn names_paths_and_threads_are_understood_and_nothing_else() {
        let settings = Settings::parse("", "").unwrap();
        assert_eq!((settings.choice, settings.threads), (Choice::BuiltIn, None));
        let settings = Settings::parse("openblas", " 3 ").unwrap();
        assert_eq!(settings.choice, Choice::OpenBlas);
        assert_eq!(settings.threads, Some(3));
        let path = Settings::parse("./libblas.so.3", "").unwrap().choice;
        assert_eq!(path, Choice::Path("./libblas.so.3".into()));
        for (blas, threads) in [("openbals", ""), ("", "0"), ("", "many"), ("", "-1")] {
            assert!(Settings::parse(blas, threads).is_err(), "{blas} {threads}");
        }
    }
}
