//! The handshake, within a time, and faults of TLS in words.

use crate::sys::{self, Piece, Ready};
use rustls::{AlertDescription, CertificateError, Connection, Error};
use std::io::{self, IoSlice, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

/// The socket as TLS wants it: never waits, and raises no signal.
pub(super) struct Wire<'a>(pub(super) BorrowedFd<'a>);

impl Read for Wire<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        sys::recv(self.0, buf, libc::MSG_DONTWAIT)
    }
}

impl Write for Wire<'_> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        sys::send(self.0, buf, libc::MSG_DONTWAIT)
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut pieces: [Piece; 16] = [sys::NO_PIECE; 16];
        let mut count = 0;
        for (piece, slice) in pieces.iter_mut().zip(slices) {
            *piece = sys::piece(slice);
            count += 1;
        }
        // SAFETY: each piece is one of the slices.
        unsafe { sys::send_pieces(self.0, &mut pieces[..count], libc::MSG_DONTWAIT) }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Why there is no handshake.
#[derive(Debug)]
pub(super) enum Fault {
    TimedOut,
    Closed,
    Tls(Error),
    Io(io::Error),
}

/// Shakes hands; all of it before `end`, however slowly the bytes come.
pub(super) fn shake(tls: &mut Connection, fd: BorrowedFd<'_>, end: Instant) -> Result<(), Fault> {
    while tls.is_handshaking() || tls.wants_write() {
        if Instant::now() >= end {
            return Err(Fault::TimedOut);
        }
        if tls.wants_write() {
            match tls.write_tls(&mut Wire(fd)) {
                Ok(_) => {}
                Err(e) => again(fd, Ready::Write, end, e)?,
            }
            continue;
        }
        match tls.read_tls(&mut Wire(fd)) {
            Ok(0) => return Err(Fault::Closed),
            Ok(_) => {
                if let Err(e) = tls.process_new_packets() {
                    // The other side is told why, as far as it listens.
                    flush(tls, fd);
                    return Err(Fault::Tls(e));
                }
            }
            Err(e) => again(fd, Ready::Read, end, e)?,
        }
    }
    Ok(())
}

/// Sends what the socket takes at once.
pub(super) fn flush(tls: &mut Connection, fd: BorrowedFd<'_>) {
    while tls.wants_write() && tls.write_tls(&mut Wire(fd)).is_ok_and(|n| n > 0) {}
}

fn again(fd: BorrowedFd<'_>, what: Ready, end: Instant, error: io::Error) -> Result<(), Fault> {
    if error.kind() == io::ErrorKind::Interrupted {
        return Ok(());
    }
    if !sys::is_would_block(&error) {
        return Err(if sys::is_gone(&error) {
            Fault::Closed
        } else {
            Fault::Io(error)
        });
    }
    let left = end.saturating_duration_since(Instant::now());
    if left.is_zero() {
        return Err(Fault::TimedOut);
    }
    sys::wait(fd, what, Some(left)).map_err(Fault::Io)?;
    Ok(())
}

/// After a fault: lets the other side read its alert before the hang-up. What
/// is left unread when a connection is closed becomes a reset, which overtakes it.
pub(super) fn linger(fd: impl AsFd, time: Duration) {
    let fd = fd.as_fd();
    let end = Instant::now() + time;
    let socket = socket2::SockRef::from(&fd);
    if socket.shutdown(std::net::Shutdown::Write).is_err() {
        return;
    }
    let mut bytes = [0; 1024];
    loop {
        match sys::recv(fd, &mut bytes, libc::MSG_DONTWAIT) {
            Ok(0) => return,
            Ok(_) => {}
            Err(e) => {
                if again(fd, Ready::Read, end, e).is_err() {
                    return;
                }
            }
        }
        if Instant::now() >= end {
            return;
        }
    }
}

/// What a fault means and what to do; `theirs` is what the other side is called.
pub(super) fn explain(error: &Error, theirs: &str) -> String {
    use AlertDescription as Alert;
    use CertificateError as Certificate;
    match error {
        Error::InvalidCertificate(e) => match e {
            Certificate::Expired | Certificate::ExpiredContext { .. } => {
                format!("the certificate of {theirs} has expired")
            }
            Certificate::NotValidYet | Certificate::NotValidYetContext { .. } => {
                format!("the certificate of {theirs} is not valid yet; is the clock right?")
            }
            Certificate::UnknownIssuer | Certificate::BadSignature => format!(
                "the certificate of {theirs} is not from the authority that is trusted here"
            ),
            Certificate::NotValidForName | Certificate::NotValidForNameContext { .. } => {
                format!("the certificate of {theirs} is for another name: {e}")
            }
            Certificate::InvalidPurpose | Certificate::InvalidPurposeContext { .. } => {
                format!("the certificate of {theirs} is not meant for this side of a connection")
            }
            other => format!("the certificate of {theirs} is no good: {other}"),
        },
        Error::NoCertificatesPresented => format!("{theirs} has shown no certificate"),
        Error::AlertReceived(alert) => match alert {
            Alert::CertificateRequired => {
                format!("{theirs} asks for a certificate of this side, and got none")
            }
            Alert::UnknownCA | Alert::DecryptError => {
                format!("{theirs} does not know the authority of this side's certificate")
            }
            Alert::CertificateExpired => {
                format!("{theirs} says that this side's certificate has expired")
            }
            Alert::BadCertificate | Alert::CertificateUnknown | Alert::UnsupportedCertificate => {
                format!("{theirs} does not take this side's certificate")
            }
            Alert::ProtocolVersion => format!("{theirs} does not speak TLS 1.3"),
            other => format!("{theirs} ended the handshake: {other:?}"),
        },
        Error::InvalidMessage(_) => format!("{theirs} does not speak TLS"),
        other => format!("TLS with {theirs} failed: {other}"),
    }
}
