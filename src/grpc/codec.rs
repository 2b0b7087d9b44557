//! How messages are encoded: as the library does, in smaller buffers.
//!
//! The library gives every call two buffers of 8 KiB, one for its question and one for its answer. With some
//! hundred calls under way that is more than a core's cache holds, and nearly all of it stays empty.

use std::{fmt, marker::PhantomData};

use prost::Message;
use tonic::codec::{BufferSettings, Codec};
use tonic_prost::{ProstCodec, ProstDecoder, ProstEncoder};

/// Room for a question or an answer of the usual size; it grows for others.
const BUFFER: usize = 1024;
/// From how many bytes on a stream hands them over: the library's own figure.
const YIELD: usize = 32 * 1024;

/// Protocol buffers, in buffers of the size that our messages have.
pub(super) struct SmallBuffers<T, U>(PhantomData<(T, U)>);

impl<T, U> fmt::Debug for SmallBuffers<T, U> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SmallBuffers")
    }
}

impl<T, U> Default for SmallBuffers<T, U> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<T, U> Codec for SmallBuffers<T, U>
where
    T: Message + Send + 'static,
    U: Message + Default + Send + 'static,
{
    type Encode = T;
    type Decode = U;
    type Encoder = ProstEncoder<T>;
    type Decoder = ProstDecoder<U>;

    fn encoder(&mut self) -> ProstEncoder<T> {
        ProstCodec::<T, U>::raw_encoder(BufferSettings::new(BUFFER, YIELD))
    }

    fn decoder(&mut self) -> ProstDecoder<U> {
        ProstCodec::<T, U>::raw_decoder(BufferSettings::new(BUFFER, YIELD))
    }
}
