"""pytla's driver of a Pure Photonics ITLA, on a serial port."""

import json
import sys
import time

from itla.itla_errors import CPException, ExecutionError, RVEError
from itla.pplaser import PPLaser

laser = PPLaser(sys.argv[1], 9600)
laser.connect()
seen = {
    "who": [
        text.rstrip("\0")
        for text in (
            laser.get_device_type(),
            laser.get_manufacturer(),
            laser.get_model(),
            laser.get_serialnumber(),
        )
    ],
    "range": (laser.get_frequency_min(), laser.get_frequency_max()),
    "power range": (laser.get_power_min(), laser.get_power_max()),
}
laser.set_frequency(194.0123)
seen["frequency"] = laser.get_frequency()
laser.set_power(9.5)
seen["set"] = laser.get_power_setting()
try:
    laser.set_power(20.0)
except RVEError:
    seen["refused"] = "RVE"
try:
    laser.enable()
except CPException:
    seen["pending"] = True
time.sleep(2.3)
laser.nop()
seen["output"] = laser.get_power_output()
laser.set_fine_tuning(1.5)
seen["fine"] = laser.get_fine_tuning()
try:
    laser.set_fcf(195.0)
except ExecutionError:
    pass
except Exception as error:
    seen["lit"] = type(error).__name__
laser.whispermode()
seen["mode"] = int(laser.get_mode())
laser.disable()
seen["dark"] = laser.get_power_output()
print(json.dumps(seen))
