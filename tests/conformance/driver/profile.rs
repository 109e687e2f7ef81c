//! What the library says of the calls it made; needs `VACCEL_PROFILING_ENABLED=1`.

use crate::arguments::exec;
use crate::case::{Case, expect};
use serde_json::json;
use vaccel::{Input, Session};

pub(crate) fn cases() -> Vec<Case> {
    vec![Case::new("profile/counts", |_| {
        let (one, other) = (Session::new()?, Session::new()?);
        for i in 0..100 {
            let a = vec![1.0f32; 1000];
            one.fpga_vadd(&a, &a)?;
            if i % 10 == 0 {
                exec(&other, "wait", &[Input::scalar(&2u32)], &mut [])?;
                let _ = exec(
                    &other,
                    "fail",
                    &[Input::scalar(&5i32), Input::string(c"no")],
                    &mut [],
                );
            }
        }
        let add = one.op_stats("fpga_vadd")?;
        expect(&(add.count, add.errors), &(100, 0))?;
        expect(&(add.bytes_in, add.bytes_out), &(800_000, 400_000))?;
        expect(
            &(add.p50 <= add.p99 && add.p99 <= add.max && add.max <= add.total),
            &true,
        )?;
        let waits = other.op_stats("exec")?;
        expect(&(waits.count, waits.errors), &(20, 10))?;
        expect(&(waits.p99.as_millis() >= 1), &true)?;
        // Each session counts its own, and the process all.
        expect(&other.op_stats("fpga_vadd")?.count, &0)?;
        expect(&vaccel::op_stats("fpga_vadd")?.count, &100)?;
        expect(&one.op_stats("no such thing").is_err(), &true)?;
        Ok(json!(null))
    })]
}
