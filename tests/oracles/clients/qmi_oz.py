"""QMI's drivers of the OZ EPC and DD-100-MC, on a serial port; the port's name tells which."""

import json
import sys

from qmi.core.context import QMI_Context
from qmi.core.exceptions import QMI_InstrumentException
from qmi.instruments.ozoptics import OzOptics_Dd100Mc, OzOptics_EPC

context = QMI_Context("judge")
path = sys.argv[1]
if path.endswith("epc"):
    epc = OzOptics_EPC(context, "epc", f"serial:{path}:baudrate=9600")
    epc.open()
    epc.set_voltage(1, 2200)
    epc.set_voltage(3, -1000)
    epc.set_high(2)
    epc.set_frequency(4, 55)
    seen = {
        "voltages": epc.get_voltages(),
        "frequencies": epc.get_frequencies(),
        "mode": epc.get_operating_mode(),
        "wave": epc.get_waveform_type(),
    }
    epc.set_operating_mode_ac()
    epc.set_waveform_type_triangle()
    epc.enable_dc_in_ac_mode()
    epc.toggle_channel_ac_dc(2)
    seen["ac"] = (
        epc.get_operating_mode(),
        epc.get_waveform_type(),
        epc.is_in_dc_in_ac_mode(),
        epc.get_ac_dc_channel_status(),
    )
    epc.set_operating_mode_dc()
    seen["back"] = epc.get_operating_mode()
    epc.close()
else:
    voa = OzOptics_Dd100Mc(context, "voa", f"serial:{path}:baudrate=9600")
    voa.open()
    seen = {"config": voa.get_configuration_display(), "start": voa.get_position()}
    seen["steps"] = voa.set_attenuation(20.0)
    seen["there"] = voa.get_position()
    voa.home()
    seen["home"] = voa.get_position()
    try:
        voa.set_attenuation(70.0)
    except QMI_InstrumentException as error:
        seen["refused"] = str(error)
    except Exception as error:  # it waits for a Done that an error does not have
        seen["refused"] = type(error).__name__
    voa.close()
print(json.dumps(seen))
