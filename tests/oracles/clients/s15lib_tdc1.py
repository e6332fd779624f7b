"""S-Fifteen's S15lib (MIT): TimestampTDC1."""

import json
import sys

from S15lib.instruments import TimestampTDC1

box = TimestampTDC1(sys.argv[1])
told = {"modes": [box.mode], "counts": [int(count) for count in box.get_counts(1)]}
times_ns, patterns = box.get_timestamps(1.0, legacy=False)
told["modes"].append(box.mode)
told["times_ns"] = [float(time) for time in times_ns]
told["patterns"] = [int(pattern) for pattern in patterns]
print(json.dumps(told))
