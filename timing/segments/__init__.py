"""A tagger's batches on disk as they came: append-only segments that a crash leaves readable.

A folder an instrument; a stream is one run of the tagger, in segments of bounded size:
`000003-0001.tags` is the first segment of the third stream. `docs/recording.md` has the layout.
"""

from timing.segments.frame import Damage, SegmentError, SegmentHead, StoredBatch
from timing.segments.reader import Segment, read_segment
from timing.segments.streams import StoredStream, read_stream, streams_in
from timing.segments.writer import SegmentWriter, is_being_written, segment_name

__all__ = [
    "Damage",
    "Segment",
    "SegmentError",
    "SegmentHead",
    "SegmentWriter",
    "StoredBatch",
    "StoredStream",
    "is_being_written",
    "read_segment",
    "read_stream",
    "segment_name",
    "streams_in",
]
