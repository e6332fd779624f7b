"""A process that a node works with ends when the node is killed, busy or not, or as it is told."""

import contextlib
import os
import select
import signal
import subprocess
import sys
import time
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import pytest

from qnodeos.worker import kill_worker, worker_process

pytestmark = pytest.mark.skipif(os.name != "posix", reason="SIGKILL and named pipes")

# A node that is killed once its worker holds a named pipe open, which it does until its end.
NODE = """
import os, signal, sys, time
from qnodeos.worker import worker_process

worker = worker_process()
print(worker.submit(os.getpid).result(), flush=True)
worker.submit(os.open, sys.argv[1], os.O_WRONLY).result()
if sys.argv[2] == "busy":
    worker.submit(time.sleep, 3600)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.timeout(60)
@pytest.mark.parametrize("state", ["idle", "busy"])
def test_it_ends_with_a_killed_node(tmp_path: Path, state: str) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    end = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    node = subprocess.Popen(
        [sys.executable, "-c", NODE, str(pipe), state], stdout=subprocess.PIPE, text=True
    )
    assert node.stdout is not None
    worker = int(node.stdout.readline())
    try:
        assert node.wait(30) == -signal.SIGKILL
        # Readable without a word: nobody holds the other end any more.
        readable, _, _ = select.select([end], [], [], 20)
        assert readable, "the worker lives on"
        assert os.read(end, 1) == b""
    finally:
        os.close(end)
        node.stdout.close()
        with contextlib.suppress(ProcessLookupError):
            os.kill(worker, signal.SIGKILL)


@pytest.mark.timeout(60)
def test_one_that_is_stuck_is_killed_and_no_other() -> None:
    stuck, other = worker_process(), worker_process()
    with other:
        work = stuck.submit(time.sleep, 3600)
        assert other.submit(os.getpid).result() > 0
        kill_worker(stuck)
        with pytest.raises(BrokenProcessPool):
            work.result(30)
        assert other.submit(os.getpid).result() > 0
    stuck.shutdown()


REALTIME = """
import os
from qnodeos.worker import worker_process

os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
print(worker_process(19).submit(os.sched_getscheduler, 0).result(), flush=True)
os._exit(0)
"""


@pytest.mark.skipif(not hasattr(os, "sched_setscheduler"), reason="a call of Linux")
@pytest.mark.timeout(60)
def test_it_does_not_run_in_real_time_with_its_node() -> None:
    done = subprocess.run([sys.executable, "-c", REALTIME], capture_output=True, text=True)
    if "PermissionError" in done.stderr:
        pytest.skip("this user may not run in real time")
    assert done.stdout == f"{os.SCHED_OTHER}\n", done.stderr
