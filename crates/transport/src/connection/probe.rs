//! Looks whether the agent is still there, without asking it.

use super::Connection;
use crate::sys;
use crate::timed::Present;
use std::io;
use std::os::fd::AsFd;

impl Connection {
    /// False when the agent has hung up, or the connection is of no use for
    /// another reason. One system call where nothing has come, and nothing is asked: an
    /// agent that is stuck counts as there.
    #[must_use]
    pub fn probe(&self) -> bool {
        if !self.is_usable() {
            return false;
        }
        if self.lock().lead {
            // Whoever reads will see it.
            return true;
        }
        match sys::recv(
            self.writer.stream().as_fd(),
            &mut [0],
            libc::MSG_PEEK | libc::MSG_DONTWAIT,
        ) {
            Ok(_) => {
                // Nobody has asked for it: an agent that says it goes, and may have gone.
                let mut table = self.lock();
                if table.lead {
                    return true;
                }
                table.lead = true;
                drop(table);
                self.lead_present(&mut Present(self.writer.stream()));
                self.is_usable()
            }
            Err(e) if sys::is_would_block(&e) => true,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => true,
            Err(e) => {
                self.die(e.to_string());
                false
            }
        }
    }
}
