//! The standard protobuf codec with smaller buffers.
//!
//! Tonic gives every call two buffers of 8 KiB, one for the request and one for the response. With a few hundred
//! calls in flight, these exceed a core's cache, and almost all of that memory stays unused.

use std::{fmt, marker::PhantomData};

use prost::Message;
use tonic::codec::{BufferSettings, Codec};
use tonic_prost::{ProstCodec, ProstDecoder, ProstEncoder};

/// Initial buffer size; enough for most messages. Larger ones grow the buffer.
const BUFFER_SIZE: usize = 1024;
/// How many buffered bytes make a stream yield; tonic's own default.
const YIELD_THRESHOLD: usize = 32 * 1024;

/// A protobuf codec with buffers sized for our messages.
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
        ProstCodec::<T, U>::raw_encoder(BufferSettings::new(BUFFER_SIZE, YIELD_THRESHOLD))
    }

    fn decoder(&mut self) -> ProstDecoder<U> {
        ProstCodec::<T, U>::raw_decoder(BufferSettings::new(BUFFER_SIZE, YIELD_THRESHOLD))
    }
}
