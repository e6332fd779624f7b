"""Packed tags: lossless, compact and checked; `docs/packed-tags.md` has the layout."""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass

import numpy as np

from cext.decode_packed import MOST_TAGS, pack_payload, unpack_payload
from cext.threads import checked_threads, in_threads
from timing.tags import Channels, TimesPs

MAGIC = b"QTP1"
HEADER = struct.Struct("<4sIIIqQIHBB")
CHECKED_FROM = 8
SIGNED = 1
# 65536 tags of 33 + 64 + 8 bits, 1024 groups of 7 bits, 256 channels and the guard bytes.
MOST_PAYLOAD_BYTES = MOST_TAGS * 105 // 8 + 1024 * 7 // 8 + 256 + 8

Tags = tuple[TimesPs, Channels]


class PackedError(ValueError):
    """Bytes that are no packed tags, or damaged ones; `at_byte` is where, in the whole stream."""

    def __init__(self, at_byte: int, found: str, expected: str) -> None:
        self.at_byte = at_byte
        self.found = found
        self.expected = expected
        super().__init__(f"packed tags: byte {at_byte}: found {found}; expected {expected}")


def _block(time_ps: TimesPs, channel: Channels, tags_before: int) -> bytes:
    if len(time_ps) == 0:
        rest = HEADER.pack(MAGIC, 0, 0, 0, 0, tags_before, 0, 0, 0, 0)
        payload = b""
    else:
        bits, step_ps, channels, low_bits, is_signed = pack_payload(time_ps, channel)
        payload = bits.tobytes()
        rest = HEADER.pack(
            MAGIC,
            0,
            len(payload),
            len(time_ps),
            int(time_ps[0]),
            tags_before,
            step_ps,
            channels,
            low_bits,
            SIGNED * is_signed,
        )
    checked = rest[CHECKED_FROM:] + payload
    return MAGIC + struct.pack("<I", zlib.crc32(checked)) + checked


class TagPacker:
    """Packs a stream, whose tags may come in any pieces and any order; the bytes do not depend on
    the pieces. The blocks of a large piece are shared out to `threads`."""

    def __init__(self, *, threads: int = 1) -> None:
        self.tags = 0
        self._threads = threads
        self._time_ps = np.empty(0, np.int64)
        self._channel = np.empty(0, np.uint8)

    def feed(self, time_ps: TimesPs, channel: Channels) -> bytes:
        """The blocks that are full; ValueError for tags that cannot be packed."""
        self._time_ps = np.concatenate((self._time_ps, time_ps))
        self._channel = np.concatenate((self._channel, channel))
        whole = len(self._time_ps) // MOST_TAGS * MOST_TAGS
        threads = checked_threads("TagPacker", self._threads, whole)
        times, channels, before = self._time_ps, self._channel, self.tags

        def pack(block: int) -> bytes:
            start, stop = block * MOST_TAGS, (block + 1) * MOST_TAGS
            return _block(times[start:stop], channels[start:stop], before + start)

        blocks = in_threads(pack, whole // MOST_TAGS, threads)
        self.tags += whole
        self._time_ps, self._channel = self._time_ps[whole:], self._channel[whole:]
        return b"".join(blocks)

    def finish(self) -> bytes:
        """The last blocks; the stream is over."""
        left = b""
        if len(self._time_ps):
            left = _block(self._time_ps, self._channel, self.tags)
            self.tags += len(self._time_ps)
        self._time_ps, self._channel = self._time_ps[:0], self._channel[:0]
        return left + _block(self._time_ps, self._channel, self.tags)


@dataclass(frozen=True, slots=True)
class _Block:
    """A block whose header and check sum hold; `header` is what `unpack_payload` takes."""

    size: int
    payload: bytes
    header: tuple[int, int, int, int, int, bool]

    @property
    def tags(self) -> int:
        """Number of tags; 0 in the end block."""
        return self.header[0]


class TagUnpacker:
    """Unpacks a stream of bytes in any pieces. At damage it stays: all that came before is given
    back, and then every call raises PackedError. So it does where there are more than `most_tags`
    tags, which take a bit each at least: a limit for what a stranger sends. The blocks of a large
    piece are shared out to `threads`."""

    def __init__(self, most_tags: int = 2**62, *, threads: int = 1) -> None:
        self.tags = 0
        self._most_tags = most_tags
        self.finished = False
        self._threads = threads
        self._at_byte = 0
        self._bytes = b""

    @property
    def waiting(self) -> int:
        """Bytes of a block that has not come whole."""
        return len(self._bytes)

    def feed(self, data: bytes) -> Tags:
        """The tags of the blocks that are complete; PackedError if the next block is damaged."""
        self._bytes += data
        blocks, damage = self._whole_blocks()
        threads = checked_threads("TagUnpacker", self._threads, sum(b.tags for b in blocks))
        unpacked = in_threads(lambda k: _unpacked(blocks[k]), len(blocks), threads)
        good: list[Tags] = []
        at = 0
        for block, tags in zip(blocks, unpacked, strict=True):
            if isinstance(tags, str):
                damage = self._damaged(at, tags, "bits as the packer writes them")
                break
            good.append(tags)
            at += block.size
            self.tags += block.tags
            self.finished = block.tags == 0
        self._bytes = self._bytes[at:]
        self._at_byte += at
        if damage is not None and at == 0:
            raise damage
        if len(good) == 1:
            return good[0]
        return (
            np.concatenate([np.empty(0, np.int64), *(time_ps for time_ps, _ in good)]),
            np.concatenate([np.empty(0, np.uint8), *(channel for _, channel in good)]),
        )

    def finish(self) -> None:
        """PackedError unless the stream has come whole to its stated end."""
        self.feed(b"")
        if not self.finished:
            raise self._damaged(len(self._bytes), "the end of the bytes", "the end block")

    def _whole_blocks(self) -> tuple[list[_Block], PackedError | None]:
        """The blocks that are there, and what is wrong behind them."""
        blocks: list[_Block] = []
        at, tags, finished = 0, self.tags, self.finished
        try:
            while (block := self._block_at(at, tags, finished)) is not None:
                blocks.append(block)
                at += block.size
                tags += block.tags
                finished = block.tags == 0
        except PackedError as damage:
            return blocks, damage
        return blocks, None

    def _block_at(self, at: int, tags: int, finished: bool) -> _Block | None:
        """The block at this place of the buffer; None if it is not there yet."""
        data = memoryview(self._bytes)[at:]
        if finished:
            if len(data):
                raise self._damaged(at, f"{len(data)} bytes after the end block", "none")
            return None
        if len(data) < HEADER.size:
            return None
        magic, crc, size, count, first_ps, before, step_ps, channels, low_bits, flags = (
            HEADER.unpack_from(data)
        )
        if magic != MAGIC:
            raise self._damaged(at, f"{magic!r}", f"a block that begins with {MAGIC!r}")
        if size > MOST_PAYLOAD_BYTES or count > MOST_TAGS or flags > SIGNED:
            raise self._damaged(
                at,
                f"a block of {count} tags in {size} bytes with flags {flags}",
                f"at most {MOST_TAGS} tags in {MOST_PAYLOAD_BYTES} bytes, flags 0 or 1",
            )
        if tags + count > self._most_tags:
            raise self._damaged(at, f"{tags + count} tags", f"at most {self._most_tags}")
        end = HEADER.size + size
        if len(data) < end:
            return None
        if zlib.crc32(data[CHECKED_FROM:end]) != crc:
            raise self._damaged(at, "a block whose check sum does not fit", "an intact block")
        if before != tags:
            raise self._damaged(at, f"a block after {before} tags", f"the block after {tags} tags")
        if count == 0 and size:
            raise self._damaged(at, "an end block with a payload", "none")
        header = count, first_ps, step_ps, channels, low_bits, flags == SIGNED
        return _Block(end, bytes(data[HEADER.size : end]), header)

    def _damaged(self, at: int, found: str, expected: str) -> PackedError:
        return PackedError(self._at_byte + at, found, expected)


def _unpacked(block: _Block) -> Tags | str:
    """The tags of a block, or what is wrong with its bits."""
    if block.tags == 0:
        return np.empty(0, np.int64), np.empty(0, np.uint8)
    try:
        return unpack_payload(np.frombuffer(block.payload, np.uint8), *block.header)
    except ValueError as error:
        return str(error)


def pack_tags(time_ps: TimesPs, channel: Channels, *, threads: int = 1) -> bytes:
    """A whole stream, packed."""
    packer = TagPacker(threads=threads)
    return packer.feed(time_ps, channel) + packer.finish()


def unpack_tags(data: bytes, *, threads: int = 1) -> Tags:
    """A whole packed stream; PackedError where it is damaged or not whole."""
    unpacker = TagUnpacker(threads=threads)
    tags = unpacker.feed(data)
    unpacker.finish()
    return tags


def pack_times(time_ps: TimesPs) -> bytes:
    """Times alone, for a message that tells its own length: blocks of channel 0, no end block."""
    channel = np.zeros(len(time_ps), np.uint8)
    return b"".join(
        _block(time_ps[k : k + MOST_TAGS], channel[k : k + MOST_TAGS], k)
        for k in range(0, len(time_ps), MOST_TAGS)
    )


def unpack_times(data: bytes, most_tags: int) -> TimesPs:
    """What `pack_times` packed; PackedError where it is not that, or more than so many tags."""
    unpacker = TagUnpacker(most_tags)
    time_ps, channel = unpacker.feed(data)
    unpacker.feed(b"")  # raises what came after a good block
    if unpacker.finished or unpacker.waiting:
        found = "an end block" if unpacker.finished else f"{unpacker.waiting} bytes of a block"
        raise PackedError(len(data), found, "whole blocks of times")
    if channel.any():
        raise PackedError(0, f"tags of channel {channel.max()}", "times alone, of channel 0")
    return time_ps
