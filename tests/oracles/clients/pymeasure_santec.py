"""pymeasure's driver of the Santec TSL-570 over pyvisa-py, in both dialects."""

import json
import sys
import time

from pymeasure.instruments.santec import TSL570

host, port = sys.argv[1].split(":")
laser = TSL570(
    f"TCPIP::{host}::{port}::SOCKET",
    visa_library="@py",
    read_termination="\r",
    write_termination="\r",
)
seen = {"id": laser.id, "dialect": laser.command_set, "nm": laser.wavelength_setpoint}
laser.power_unit = "mW"
laser.power_setpoint = 6.0
laser.output_enabled = True
laser.command_set = "SCPI"
laser.wavelength_setpoint = 1.5602e-6
time.sleep(1.3)
seen["scpi"] = (laser.command_set, laser.wavelength_setpoint, laser.power_setpoint)
seen["range"] = (laser.wavelength_min, laser.wavelength_max)
seen["on"] = laser.output_enabled
laser.frequency_setpoint = 1.92e14
seen["frequency"] = laser.frequency_setpoint
laser.output_enabled = False
seen["errors"] = laser.check_errors()
print(json.dumps(seen))
