//! The filter as the kernel runs it.
//!
//! Written here and not with a crate, because those that there are know no 32-bit arm,
//! one answer only, and no order. Kernels from 5.11 on remember which numbers are allowed
//! whatever their arguments; for earlier ones the most used come first.

use libc::sock_filter;

/// What becomes of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// It is made.
    Allow,
    /// It fails with this code.
    Error(i32),
    /// The process is killed (SIGSYS).
    Kill,
}

/// Whether `argument & mask == value`, in the lower 32 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Test {
    /// From 0 to 5.
    pub argument: u8,
    /// The bits that count.
    pub mask: u32,
    /// What they are to be.
    pub value: u32,
}

/// A call that depends on its arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked {
    /// Its number.
    pub number: u32,
    /// One of these must hold, each in full.
    pub when: Vec<Vec<Test>>,
    /// What then becomes of it.
    pub then: Action,
    /// And what otherwise.
    pub other: Action,
}

/// A filter before it is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filter {
    architecture: u32,
    newest: u32,
    /// Calls whatever their arguments, the most used first.
    pub plain: Vec<(u32, Action)>,
    /// The others.
    pub checked: Vec<Checked>,
}

const LOAD: u16 = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
const AND: u16 = (libc::BPF_ALU | libc::BPF_AND | libc::BPF_K) as u16;
const EQUAL: u16 = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
const AT_LEAST: u16 = (libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K) as u16;
const ABOVE: u16 = (libc::BPF_JMP | libc::BPF_JGT | libc::BPF_K) as u16;
const RETURN: u16 = (libc::BPF_RET | libc::BPF_K) as u16;

/// Places in `struct seccomp_data`.
const NUMBER: u32 = 0;
const ARCHITECTURE: u32 = 4;
const ARGUMENTS: u32 = 16;

/// Bit of calls with 32-bit pointers on x86-64.
const X32: u32 = 0x4000_0000;
const X86_64: u32 = 0xC000_003E;
/// From here on arm has calls of its own.
const ARM_PRIVATE: u32 = 0x000F_0000;

fn code(action: Action) -> u32 {
    match action {
        Action::Allow => libc::SECCOMP_RET_ALLOW,
        Action::Error(errno) => libc::SECCOMP_RET_ERRNO | (errno.unsigned_abs() & 0xFFFF),
        Action::Kill => libc::SECCOMP_RET_KILL_PROCESS,
    }
}

fn step(code: u16, k: u32) -> sock_filter {
    jump(code, k, 0, 0)
}

fn jump(code: u16, k: u32, jt: u8, jf: u8) -> sock_filter {
    sock_filter { code, jt, jf, k }
}

/// Where the lower half of an argument is.
fn place(argument: u8) -> u32 {
    let half = if cfg!(target_endian = "big") { 4 } else { 0 };
    ARGUMENTS + 8 * u32::from(argument) + half
}

impl Filter {
    /// One that answers EPERM to everything, and ENOSYS to numbers above `newest`.
    #[must_use]
    pub fn new(architecture: u32, newest: u32) -> Self {
        Self {
            architecture,
            newest,
            plain: Vec::new(),
            checked: Vec::new(),
        }
    }

    /// Makes the program.
    ///
    /// # Errors
    /// When a check is too long, or names an argument that no call has.
    pub fn compile(&self) -> Result<Vec<sock_filter>, String> {
        let answer = |action| step(RETURN, code(action));
        let mut program = vec![
            step(LOAD, ARCHITECTURE),
            jump(EQUAL, self.architecture, 1, 0),
            answer(Action::Kill),
            step(LOAD, NUMBER),
        ];
        if self.architecture == X86_64 {
            program.extend([jump(AT_LEAST, X32, 0, 1), answer(Action::Kill)]);
        }
        for (number, action) in &self.plain {
            program.extend([jump(EQUAL, *number, 0, 1), answer(*action)]);
        }
        for checked in &self.checked {
            let body = body(checked)?;
            let past = u8::try_from(body.len()).map_err(|_| "a check is too long")?;
            program.push(jump(EQUAL, checked.number, 0, past));
            program.extend(body);
        }
        program.extend([
            jump(AT_LEAST, ARM_PRIVATE, 2, 0),
            jump(ABOVE, self.newest, 0, 1),
            answer(Action::Error(libc::ENOSYS)),
            answer(Action::Error(libc::EPERM)),
        ]);
        Ok(program)
    }
}

fn body(checked: &Checked) -> Result<Vec<sock_filter>, String> {
    let mut program = Vec::new();
    for tests in &checked.when {
        // Three steps for each test; where one fails, past those that follow and the answer.
        for (at, test) in tests.iter().enumerate() {
            if test.argument > 5 {
                return Err(format!("there is no argument {}", test.argument));
            }
            let past = (tests.len() - at - 1) * 3 + 1;
            let past = u8::try_from(past).map_err(|_| "a check is too long")?;
            program.extend([
                step(LOAD, place(test.argument)),
                step(AND, test.mask),
                jump(EQUAL, test.value, 0, past),
            ]);
        }
        program.push(step(RETURN, code(checked.then)));
    }
    program.push(step(RETURN, code(checked.other)));
    Ok(program)
}
