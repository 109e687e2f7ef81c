//! Multiplies two matrices and checks the product.
//!
//! ```text
//! VACCEL_PLUGINS=... cargo run -p vaccel --example sgemm -- 256
//! ```

use std::time::Instant;
use vaccel::{Session, Sgemm};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let size: usize = match std::env::args().nth(1) {
        Some(text) => text
            .parse()
            .map_err(|_| format!("{text:?} is not a size"))?,
        None => 256,
    };
    // A counts up, B is the identity: the product is A.
    let elements = size.checked_mul(size).ok_or("the size is too large")?;
    let a: Vec<f32> = (0..elements).map(|i| (i % 1000) as f32).collect();
    let mut b = vec![0.0; elements];
    b.iter_mut().step_by(size + 1).for_each(|x| *x = 1.0);
    let mut c = vec![f32::NAN; elements];

    let session = Session::new()?;
    let start = Instant::now();
    session.sgemm(&Sgemm::new(size, size, size), &a, &b, &mut c)?;
    let elapsed = start.elapsed();

    if c != a {
        return Err("the product is wrong".into());
    }
    println!("{size} x {size}: {elapsed:.1?}");
    Ok(())
}
