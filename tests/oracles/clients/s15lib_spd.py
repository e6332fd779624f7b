"""S-Fifteen's S15lib (MIT): SinglePhotonDetector."""

import json
import sys

from S15lib.instruments.single_photon_detector import SinglePhotonDetector

box = SinglePhotonDetector(sys.argv[1])
told = {"identity": box.identity().strip()}
box.temperature = -15
box.temp_stabilization_on()
told["set"] = [box.settemperature, box.loop]
told["dark"] = box.counts(0.2)
box.hvolt = 150.0
told["hvolt"] = box.hvolt
told["counts"] = box.counts(0.5)
told["time"] = box.time
box.hvolt = 0
told["off"] = box.hvolt
print(json.dumps(told))
