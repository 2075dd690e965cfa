//! Frames on a Unix socket: a header, a postcard body, and at most one
//! descriptor beside it.
//!
//! The body's length is checked before anything is allocated.

use std::collections::VecDeque;
use std::io::{self, IoSlice, IoSliceMut, Read as _, Write as _};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, recvmsg, sendmsg,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// The longest body, in bytes.
pub const FRAME_BYTES_MAX: u32 = 256 << 20;

/// Of the frame layout and of the messages together.
const VERSION: u8 = 1;
const MAGIC: u8 = 0xA5;
const HEADER_BYTES: usize = 8;
/// Room for a body that is kept for the next.
const BODY_BYTES_KEPT: usize = 16 << 20;

/// Why a frame could not be sent or received.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// The other side closed the socket between two frames.
    #[error("the other side has gone")]
    Closed,
    /// The socket failed.
    #[error("failed to use the worker socket: {0}")]
    Io(#[from] io::Error),
    /// The other side is of another build.
    #[error("the other side speaks protocol {0}, this side speaks {VERSION}")]
    Version(u8),
    /// The bytes are no frame.
    #[error("failed to decode a frame: {0}")]
    Garbled(String),
    /// A body over the limit.
    #[error("a frame of {0} bytes is over the limit of {FRAME_BYTES_MAX}")]
    TooLong(usize),
}

/// Both directions of one socket.
pub struct Connection {
    /// Receives.
    pub reader: FrameReader,
    /// Sends.
    pub writer: FrameWriter,
}

/// The receiving half.
pub struct FrameReader {
    socket: UnixStream,
    descriptors: VecDeque<OwnedFd>,
    body: Vec<u8>,
}

/// The sending half.
pub struct FrameWriter {
    socket: UnixStream,
}

impl Connection {
    /// Takes a connected stream socket.
    pub fn new(socket: UnixStream) -> io::Result<Self> {
        Ok(Self {
            reader: FrameReader {
                socket: socket.try_clone()?,
                descriptors: VecDeque::new(),
                body: Vec::new(),
            },
            writer: FrameWriter { socket },
        })
    }
}

impl FrameWriter {
    /// Sends a message, and a descriptor with it where one is given.
    pub fn send(
        &mut self,
        message: &impl Serialize,
        descriptor: Option<BorrowedFd<'_>>,
    ) -> Result<(), FrameError> {
        let mut frame = vec![0; HEADER_BYTES];
        frame =
            postcard::to_extend(message, frame).map_err(|error| FrameError::Garbled(error.to_string()))?;
        let length = frame.len() - HEADER_BYTES;
        if length > FRAME_BYTES_MAX as usize {
            return Err(FrameError::TooLong(length));
        }
        frame[0] = MAGIC;
        frame[1] = VERSION;
        frame[2] = u8::from(descriptor.is_some());
        frame[4..8].copy_from_slice(&(length as u32).to_le_bytes());
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        let descriptors = descriptor.map(|descriptor| [descriptor]);
        if let Some(descriptors) = &descriptors {
            ancillary.push(SendAncillaryMessage::ScmRights(descriptors));
        }
        let sent = loop {
            match sendmsg(&self.socket, &[IoSlice::new(&frame)], &mut ancillary, SendFlags::NOSIGNAL) {
                Err(rustix::io::Errno::INTR) => {}
                result => break result.map_err(io::Error::from)?,
            }
        };
        self.socket.write_all(&frame[sent..])?;
        Ok(())
    }

    /// Tells the other side that nothing more comes, in either direction.
    pub fn shut_down(&self) {
        // The other side may already have gone, which is what this is for.
        self.socket.shutdown(std::net::Shutdown::Both).ok();
    }
}

impl FrameReader {
    /// Waits for the next message, and the descriptor that came with it.
    pub fn receive<M: DeserializeOwned>(&mut self) -> Result<(M, Option<OwnedFd>), FrameError> {
        let header = self.header()?;
        if header[0] != MAGIC {
            return Err(FrameError::Garbled("no frame starts here".into()));
        }
        if header[1] != VERSION {
            return Err(FrameError::Version(header[1]));
        }
        let length = u32::from_le_bytes([header[4], header[5], header[6], header[7]]);
        if length > FRAME_BYTES_MAX {
            return Err(FrameError::TooLong(length as usize));
        }
        let descriptor = match (header[2], self.descriptors.pop_front()) {
            (0, None) => None,
            (1, Some(descriptor)) => Some(descriptor),
            _ => return Err(FrameError::Garbled("a descriptor is missing or too many".into())),
        };
        // What the header says may be a lie: the room grows with what comes.
        self.body.clear();
        self.body.reserve((length as usize).min(BODY_BYTES_KEPT));
        (&self.socket).take(u64::from(length)).read_to_end(&mut self.body)?;
        if self.body.len() < length as usize {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
        let message =
            postcard::from_bytes(&self.body).map_err(|error| FrameError::Garbled(error.to_string()))?;
        // One huge frame must not hold its memory for the process's life.
        if self.body.capacity() > BODY_BYTES_KEPT {
            self.body = Vec::new();
        }
        Ok((message, descriptor))
    }

    fn header(&mut self) -> Result<[u8; HEADER_BYTES], FrameError> {
        let mut header = [0; HEADER_BYTES];
        let mut filled = 0;
        while filled < HEADER_BYTES {
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
            let mut ancillary = RecvAncillaryBuffer::new(&mut space);
            let received = match recvmsg(
                self.socket.as_fd(),
                &mut [IoSliceMut::new(&mut header[filled..])],
                &mut ancillary,
                RecvFlags::CMSG_CLOEXEC,
            ) {
                Err(rustix::io::Errno::INTR) => continue,
                result => result.map_err(io::Error::from)?.bytes,
            };
            for message in ancillary.drain() {
                if let RecvAncillaryMessage::ScmRights(descriptors) = message {
                    self.descriptors.extend(descriptors);
                }
            }
            match received {
                0 if filled == 0 => return Err(FrameError::Closed),
                0 => return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
                more => filled += more,
            }
        }
        Ok(header)
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::{Seek as _, SeekFrom};

    use super::*;

    fn pair() -> (Connection, Connection) {
        let (here, there) = UnixStream::pair().expect("a socket pair");
        (Connection::new(here).expect("clonable"), Connection::new(there).expect("clonable"))
    }

    #[test]
    fn a_message_and_its_descriptor_arrive_together() {
        let (mut here, mut there) = pair();
        let mut file = tempfile::tempfile().expect("a temporary file");
        file.write_all(b"artifact").expect("writable");
        here.writer.send(&(1_u32, "plain"), None).expect("sent");
        here.writer.send(&(2_u32, "with a file"), Some(file.as_fd())).expect("sent");
        here.writer.shut_down();
        let (first, none) = there.reader.receive::<(u32, String)>().expect("received");
        assert_eq!((first.0, none.is_none()), (1, true));
        let (second, descriptor) = there.reader.receive::<(u32, String)>().expect("received");
        assert_eq!(second.1, "with a file");
        let mut received = File::from(descriptor.expect("a descriptor"));
        received.seek(SeekFrom::Start(0)).expect("seekable");
        let mut text = String::new();
        received.read_to_string(&mut text).expect("readable");
        assert_eq!(text, "artifact");
        assert!(matches!(there.reader.receive::<u32>(), Err(FrameError::Closed)));
    }

    #[test]
    fn garbage_another_version_and_a_huge_length_are_refused() {
        let cases: [(&[u8], &str); 4] = [
            (b"GET / HT", "no frame starts here"),
            (&[MAGIC, 9, 0, 0, 0, 0, 0, 0], "protocol 9"),
            (&[MAGIC, VERSION, 0, 0, 0xff, 0xff, 0xff, 0xff], "over the limit"),
            (&[MAGIC, VERSION, 1, 0, 0, 0, 0, 0], "descriptor"),
        ];
        for (bytes, expected) in cases {
            let (here, mut there) = pair();
            (&here.writer.socket).write_all(bytes).expect("sent");
            let error = there.reader.receive::<String>().expect_err(expected);
            assert!(error.to_string().contains(expected), "{error}");
        }
    }
}
