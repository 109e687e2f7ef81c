//! Makes many small products at once, and checks them.
//!
//! ```text
//! VACCEL_PLUGINS=... cargo run -p vaccel --example pipeline -- 1000
//! ```

use std::time::Instant;
use vaccel::{Session, Sgemm};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let calls: usize = match std::env::args().nth(1) {
        Some(text) => text
            .parse()
            .map_err(|_| format!("{text:?} is not a number of calls"))?,
        None => 1000,
    };
    let session = Session::new()?;
    let sizes = Sgemm::new(1, 2, 1);
    let start = Instant::now();
    // Each is a future, too: `call.await` does what `call.wait()` does.
    let pending = (0..calls)
        .map(|i| session.sgemm_async(&sizes, vec![i as f32], vec![2.0, 3.0], vec![0.0; 2]))
        .collect::<Result<Vec<_>, _>>()?;
    for (i, call) in pending.into_iter().enumerate() {
        if call.wait()? != [2.0 * i as f32, 3.0 * i as f32] {
            return Err(format!("product {i} is wrong").into());
        }
    }
    println!("{calls} products: {:.1?}", start.elapsed());
    Ok(())
}
