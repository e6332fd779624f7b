"""QMI's driver of the Santec TSL-570, which knows the legacy dialect only."""

import json
import sys

from qmi.core.context import QMI_Context
from qmi.core.exceptions import QMI_InstrumentException
from qmi.instruments.santec import Santec_Tsl570

laser = Santec_Tsl570(QMI_Context("judge"), "laser", f"tcp:{sys.argv[1]}")
laser.open()
seen = {
    "serial": laser.get_idn().serial,
    "range": (laser.get_minimum_wavelength(), laser.get_maximum_wavelength()),
    "unit": laser.get_power_level_unit(),
}
laser.set_wavelength(1560.1234)
seen["wavelength"] = laser.get_wavelength()
laser.set_power_level_unit_to_mw()
laser.set_power_level(7.5)
seen["power"] = (laser.get_power_level(), laser.get_power_level_unit())
seen["complete"] = laser.operation_complete()
seen["errors"] = laser.get_errors()
try:
    laser._write_and_check_errors(":WAV 99")
except QMI_InstrumentException as error:
    seen["refused"] = str(error)
laser.close()
print(json.dumps(seen))
