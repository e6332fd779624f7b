"""pymeasure's driver of the PM100USB, which speaks as the PM100D, over pyvisa-py."""

import json
import sys

from pymeasure.instruments.thorlabs import ThorlabsPM100USB

host, port = sys.argv[1].split(":")
meter = ThorlabsPM100USB(
    f"TCPIP::{host}::{port}::SOCKET",
    visa_library="@py",
    read_termination="\n",
    write_termination="\n",
)
seen = {"id": meter.id, "sensor": meter.sensor_name, "power sensor": meter.is_power_sensor}
meter.wavelength = 532.0
seen["wavelength"] = (meter.wavelength, meter.wavelength_min, meter.wavelength_max)
seen["power"] = meter.power
print(json.dumps(seen))
