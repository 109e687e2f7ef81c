//! Structures and enumerations, read from the debug information of the headers.

use anyhow::{Context, Result};
use gimli::{AttributeValue, DebuggingInformationEntry, Dwarf, EndianSlice, NativeEndian, Unit};
use object::{Object, ObjectSection};
use std::collections::BTreeSet;
use std::path::Path;

type Reader<'a> = EndianSlice<'a, NativeEndian>;
type Entry<'a> = DebuggingInformationEntry<Reader<'a>>;

/// One line for each structure, field and enumerator whose name begins as ours do.
pub(super) fn lines(object: &Path) -> Result<BTreeSet<String>> {
    let data = std::fs::read(object)?;
    let file = object::File::parse(&*data)?;
    let sections = gimli::DwarfSections::load(|id| -> Result<_> {
        Ok(match file.section_by_name(id.name()) {
            Some(section) => section.uncompressed_data()?,
            None => std::borrow::Cow::Borrowed(&[][..]),
        })
    })?;
    let dwarf = sections.borrow(|section| EndianSlice::new(section, NativeEndian));
    let mut lines = BTreeSet::new();
    let mut units = dwarf.units();
    while let Some(header) = units.next()? {
        let unit = dwarf.unit(header)?;
        let mut entries = unit.entries();
        while let Some(entry) = entries.next_dfs()? {
            let entry = entry.clone();
            match entry.tag() {
                gimli::DW_TAG_structure_type => structure(&dwarf, &unit, &entry, &mut lines)?,
                gimli::DW_TAG_enumerator => enumerator(&dwarf, &unit, &entry, &mut lines)?,
                // `typedef struct { ... } SLogConfig;`
                gimli::DW_TAG_typedef => {
                    if let Some(target) = target(&unit, &entry)?
                        && target.tag() == gimli::DW_TAG_structure_type
                        && name(&dwarf, &unit, &target)?.is_none()
                        && let Some(name) = name(&dwarf, &unit, &entry)?
                    {
                        members(&dwarf, &unit, &target, &name, &mut lines)?;
                    }
                }
                _ => {}
            }
        }
    }
    Ok(lines)
}

fn is_ours(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    name.starts_with("vaccel_") || name.starts_with("slog")
}

fn structure<'a>(
    dwarf: &Dwarf<Reader<'a>>,
    unit: &Unit<Reader<'a>>,
    entry: &Entry<'a>,
    lines: &mut BTreeSet<String>,
) -> Result<()> {
    match name(dwarf, unit, entry)? {
        Some(name) => members(dwarf, unit, entry, &name, lines),
        None => Ok(()),
    }
}

fn members<'a>(
    dwarf: &Dwarf<Reader<'a>>,
    unit: &Unit<Reader<'a>>,
    entry: &Entry<'a>,
    name: &str,
    lines: &mut BTreeSet<String>,
) -> Result<()> {
    let Some(size) = number(entry, gimli::DW_AT_byte_size) else {
        return Ok(()); // only declared
    };
    if !is_ours(name) {
        return Ok(());
    }
    lines.insert(format!("struct {name} size {size}"));
    let mut tree = unit.entries_tree(Some(entry.offset()))?;
    let mut children = tree.root()?.children();
    while let Some(child) = children.next()? {
        let member = child.entry().clone();
        if member.tag() != gimli::DW_TAG_member {
            continue;
        }
        let field = self::name(dwarf, unit, &member)?.context("a field without a name")?;
        // Bits are counted from the beginning; GCC gives whole fields in bytes.
        let (at, length) = match number(&member, gimli::DW_AT_data_bit_offset) {
            Some(bit) => {
                let bits = number(&member, gimli::DW_AT_bit_size).unwrap_or(0);
                (format!("bit {bit}"), format!("{bits} bits"))
            }
            None => (
                number(&member, gimli::DW_AT_data_member_location)
                    .unwrap_or(0)
                    .to_string(),
                size_of_type(unit, &member)?.to_string(),
            ),
        };
        lines.insert(format!("field {name}.{field} at {at} size {length}"));
    }
    Ok(())
}

fn enumerator<'a>(
    dwarf: &Dwarf<Reader<'a>>,
    unit: &Unit<Reader<'a>>,
    entry: &Entry<'a>,
    lines: &mut BTreeSet<String>,
) -> Result<()> {
    if let (Some(name), Some(value)) = (
        name(dwarf, unit, entry)?,
        number(entry, gimli::DW_AT_const_value),
    ) && is_ours(&name)
    {
        lines.insert(format!("enum {name} = {value}"));
    }
    Ok(())
}

fn name<'a>(
    dwarf: &Dwarf<Reader<'a>>,
    unit: &Unit<Reader<'a>>,
    entry: &Entry<'a>,
) -> Result<Option<String>> {
    let Some(value) = entry.attr_value(gimli::DW_AT_name) else {
        return Ok(None);
    };
    let text = dwarf.attr_string(unit, value)?;
    Ok(Some(text.to_string_lossy().into_owned()))
}

fn number(entry: &Entry<'_>, attribute: gimli::DwAt) -> Option<i64> {
    let value = entry.attr_value(attribute)?;
    value
        .sdata_value()
        .or_else(|| value.udata_value().and_then(|v| i64::try_from(v).ok()))
}

/// The entry that `DW_AT_type` points at.
fn target<'a>(unit: &Unit<Reader<'a>>, entry: &Entry<'a>) -> Result<Option<Entry<'a>>> {
    match entry.attr_value(gimli::DW_AT_type) {
        Some(AttributeValue::UnitRef(offset)) => Ok(Some(unit.entry(offset)?)),
        _ => Ok(None),
    }
}

/// Bytes of the type of a field, through qualifiers, names and arrays.
fn size_of_type<'a>(unit: &Unit<Reader<'a>>, entry: &Entry<'a>) -> Result<i64> {
    let Some(kind) = target(unit, entry)? else {
        return Ok(0); // void
    };
    if let Some(size) = number(&kind, gimli::DW_AT_byte_size) {
        return Ok(size);
    }
    let inner = size_of_type(unit, &kind)?;
    if kind.tag() != gimli::DW_TAG_array_type {
        return Ok(inner);
    }
    let mut count = 1;
    let mut tree = unit.entries_tree(Some(kind.offset()))?;
    let mut children = tree.root()?.children();
    while let Some(child) = children.next()? {
        let child = child.entry();
        if child.tag() == gimli::DW_TAG_subrange_type {
            // Lengths have no sign, whatever the width they are stored in suggests.
            let last = child
                .attr_value(gimli::DW_AT_upper_bound)
                .and_then(|value| value.udata_value())
                .and_then(|last| i64::try_from(last).ok());
            count *= last.map_or(0, |last| last + 1);
        }
    }
    Ok(inner * count)
}
