"""QMI's driver of the NKT Adjustik frame with its BASIK module, on a serial port."""

import json
import sys
import time

from qmi.core.context import QMI_Context
from qmi.core.exceptions import QMI_InstrumentException
from qmi.instruments.nkt_photonics.adjustik import KoherasAdjustikLaser

context = QMI_Context("judge")
laser = KoherasAdjustikLaser(context, "laser", f"serial:{sys.argv[1]}:baudrate=115200:rtscts=False")
laser.open()
seen = {
    "type": laser.get_basik_module_type(),
    "dark": (laser.get_basik_emission(), laser.get_basik_output_power_mW()),
    "standard_pm": laser.get_basik_standard_wavelength(),
    "supply_v": laser.get_basik_module_supply_voltage(),
}
laser.set_basik_output_power_setpoint_mW(12.5)
laser.enable_basik_emission()
laser.set_basik_wavelength_offset_setpoint(100.0)
time.sleep(1.0)
seen["light"] = (laser.get_basik_emission(), laser.get_basik_output_power_mW())
seen["setpoints"] = (
    laser.get_basik_output_power_setpoint_mW(),
    laser.get_basik_output_power_setpoint_dBm(),
    laser.get_basik_wavelength_offset_setpoint(),
)
seen["status"] = laser.get_basik_status_bits()
seen["offset_pm"] = laser.get_basik_wavelength_offset()
try:
    laser.set_basik_output_power_setpoint_mW(500.0)
    seen["refused"] = ""
except QMI_InstrumentException as error:
    seen["refused"] = str(error)
seen["many"] = sum(laser.get_basik_module_type() == 0x33 for _ in range(100))
laser.disable_basik_emission()
seen["dark again"] = laser.get_basik_emission()
laser.close()
print(json.dumps(seen))
