//! Profiling regions.

use std::ffi::{c_char, c_int};
use vaccel_abi::op::OpType as vaccel_op_type_t;
use vaccel_abi::prof::{vaccel_prof_region, vaccel_prof_stats};
use vaccel_abi::session::vaccel_session;
use vaccel_core::ptr::Ptr;
use vaccel_core::{Result, err, prof};

/// The elements of an array of regions.
fn each(first: Ptr<vaccel_prof_region>, count: c_int) -> Result<Vec<Ptr<vaccel_prof_region>>> {
    let count = usize::try_from(count).map_err(|_| err!(EINVAL, "{count} regions"))?;
    (0..count)
        // SAFETY: the caller vouches for as many regions.
        .map(|i| unsafe { Ptr::new(first.as_ptr().add(i), "regions") })
        .collect()
}

export! {
    /// Whether profiling is on.
    fn vaccel_prof_enabled() -> bool, false; { Ok(prof::enabled()) }

    /// What calls of an operation took, in a session or in all.
    fn vaccel_prof_op_stats(
        sess: *mut vaccel_session,
        op: vaccel_op_type_t,
        stats: *mut vaccel_prof_stats,
    ) {
        let stats = ptr!(stats);
        let session = if sess.is_null() { None } else { Some(ptr!(sess)) };
        stats.write(vaccel_core::stats::of(session, op)?);
        Ok(())
    }

    /// Fills a region.
    fn vaccel_prof_region_init(region: *mut vaccel_prof_region, name: *const c_char) {
        prof::init(ptr!(region), text!(name))
    }

    /// Frees what a region holds.
    fn vaccel_prof_region_release(region: *mut vaccel_prof_region) {
        prof::release(ptr!(region));
        Ok(())
    }

    /// An interval begins on this thread.
    fn vaccel_prof_region_start(region: *mut vaccel_prof_region) {
        prof::start(ptr!(region));
        Ok(())
    }

    /// The interval that this thread began last ends.
    fn vaccel_prof_region_stop(region: *const vaccel_prof_region) {
        prof::stop(ptr!(region))
    }

    /// Writes one line to the log.
    fn vaccel_prof_region_print(region: *const vaccel_prof_region) {
        prof::print(ptr!(region));
        Ok(())
    }

    /// Fills regions that have a name each already.
    fn vaccel_prof_regions_init(regions: *mut vaccel_prof_region, nr_regions: c_int) {
        each(ptr!(regions), nr_regions)?.into_iter().try_for_each(prof::init_named)
    }

    /// Frees what regions hold.
    fn vaccel_prof_regions_release(regions: *mut vaccel_prof_region, nr_regions: c_int) {
        each(ptr!(regions), nr_regions)?.into_iter().for_each(prof::release);
        Ok(())
    }

    /// An interval of the region with a name begins.
    fn vaccel_prof_regions_start_by_name(
        regions: *mut vaccel_prof_region,
        nr_regions: c_int,
        name: *const c_char,
    ) {
        prof::start(prof::by_name(&each(ptr!(regions), nr_regions)?, text!(name))?);
        Ok(())
    }

    /// An interval of the region with a name ends.
    fn vaccel_prof_regions_stop_by_name(
        regions: *mut vaccel_prof_region,
        nr_regions: c_int,
        name: *const c_char,
    ) {
        prof::stop(prof::by_name(&each(ptr!(regions), nr_regions)?, text!(name))?)
    }

    /// Writes one line each to the log.
    fn vaccel_prof_regions_print_all(regions: *mut vaccel_prof_region, nr_regions: c_int) {
        each(ptr!(regions), nr_regions)?.into_iter().for_each(prof::print);
        Ok(())
    }

    /// Writes one line each to a buffer, or to a new one when it is null.
    fn vaccel_prof_regions_print_all_to_buf(
        tbuf: *mut *mut c_char,
        tbuf_len: usize,
        regions: *mut vaccel_prof_region,
        nr_regions: c_int,
    ) {
        prof::print_to(&each(ptr!(regions), nr_regions)?, ptr!(tbuf), tbuf_len)
    }
}
