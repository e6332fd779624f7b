"""QMI's driver of the Thorlabs MPC320, on a serial port."""

import json
import sys
import time

from qmi.core.context import QMI_Context
from qmi.instruments.thorlabs import Thorlabs_Mpc320

context = QMI_Context("judge")
box = Thorlabs_Mpc320(context, "mpc", f"serial:{sys.argv[1]}")
box.open()
who = box.get_idn()
seen = {"model": str(who.model), "serial": who.serial}
box.enable_channels([1, 2, 3])
seen["states"] = [box.get_channel_state(n).name for n in (1, 2, 3)]
box.set_polarisation_parameters(60, 0, 10, 20, 30)
found = box.get_polarisation_parameters()
seen["velocity"] = found.velocity
box.move_absolute(2, 150.0)
time.sleep(1.5)
seen["at"] = [box.get_status_update(n).position for n in (1, 2, 3)]
box.home_channel(2)
time.sleep(1.5)
seen["home"] = box.get_status_update(2).position
box.disable_all_channels()
seen["off"] = box.get_channel_state(1).name
box.close()
print(json.dumps(seen, default=str))
